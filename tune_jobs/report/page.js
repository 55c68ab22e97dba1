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
  const tools = narrow.matches || figure.data[0].type === "parcoords" ? false : "hover";
  return Plotly.react(place, figure.data, layout, { ...found.config, displayModeBar: tools });
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
  document.documentElement.dataset.drawn = "yes";
}

document.getElementById("all")?.addEventListener("click", (event) => {
  document.getElementById("rest").hidden = false;
  event.target.remove();
});
dark.addEventListener("change", drawAll);
narrow.addEventListener("change", drawAll);
drawAll();
