"use strict";
const found = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 640px)");

function draw(place) {
  const figure = structuredClone(found.figures[place.dataset.plot]);
  const layout = { ...figure.layout, template: dark.matches ? found.dark : found.light };
  if (narrow.matches) { // no pointer that hovers, so no bar of tools above the plot
    if (layout.meta?.legend === "wide") layout.showlegend = false;
    if (!layout.margin) layout.margin = { ...layout.template.layout.margin, t: 12 };
  }
  const chosen = layout.meta?.choices?.[chooser(place, layout.meta.choices).value];
  if (chosen) {
    figure.data.forEach((trace, at) => Object.assign(trace, chosen.data[at]));
    Object.assign(layout, chosen.layout);
  }
  const tools = narrow.matches || figure.data[0].type === "parcoords" ? false : "hover";
  return Plotly.react(place, figure.data, layout, { ...found.config, displayModeBar: tools });
}

function chooser(place, choices) { // above the plot, made as it is first drawn
  if (!place.choice) {
    place.choice = document.createElement("select");
    place.choice.ariaLabel = "horizontal axis";
    choices.forEach(({ label }, at) => place.choice.add(new Option(label, at)));
    place.choice.addEventListener("change", () => draw(place));
    place.closest(".scroll").before(place.choice);
  }
  return place.choice;
}

function hint() {
  for (const part of document.querySelectorAll(".scroll")) {
    part.classList.toggle("sideways", part.scrollWidth > part.clientWidth + 1);
  }
}

async function drawAll() {
  for (const place of document.querySelectorAll(".plot")) {
    try {
      await draw(place);
    } catch (error) {
      place.textContent = `This plot cannot be drawn here: ${error.message}`;
    }
    await new Promise((next) => setTimeout(next)); // the page stays responsive between plots
  }
  hint();
  document.documentElement.dataset.drawn = "yes";
}

document.getElementById("all")?.addEventListener("click", (event) => {
  document.getElementById("rest").hidden = false;
  event.target.remove();
});
dark.addEventListener("change", drawAll);
narrow.addEventListener("change", drawAll);
addEventListener("resize", hint);
drawAll();
