"use strict";
const found = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 640px)");

function color(figure, by) { // color lines by a field instead of by trial
  const { lines, bands, behind, colorings } = figure.layout.meta;
  const { name, colors, names, order, bar } = colorings[by];
  const seen = new Set([""]);
  for (const place of behind) figure.data[place].visible = false;
  lines.forEach((place, line) => {
    const trace = figure.data[place], value = names[line];
    const legend = { name: value, legendgroup: value, legendrank: order.indexOf(value), showlegend: !seen.has(value) };
    Object.assign(trace, legend, { visible: true, line: { color: colors[line], width: 1.5 } });
    seen.add(value);
  });
  for (const [place, line] of bands) {
    const band = figure.data[place];
    Object.assign(band, { fillcolor: colors[line] + band.fillcolor.slice(7), legendgroup: names[line] });
  }
  figure.layout.meta = {};
  figure.layout.legend = { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", title: { text: bar ? "" : name } };
  if (!bar) return;
  const marker = { showscale: true, coloraxis: "coloraxis", color: [bar.cmin, bar.cmax] };
  figure.data.push({ x: [null, null], y: [null, null], mode: "markers", marker, showlegend: false, hoverinfo: "skip" });
  figure.layout.coloraxis = bar;
}

function draw(place) {
  const figure = structuredClone(found.figures[place.dataset.plot]);
  const by = Number(document.querySelector(`select[data-of="${place.dataset.plot}"]`)?.value ?? 0);
  if (by > 0 && figure.layout.meta?.colorings) color(figure, by - 1);
  const layout = { ...figure.layout, template: dark.matches ? found.dark : found.light };
  if (narrow.matches) { // touch screens cannot hover, so leave out the toolbar above the plot
    if (layout.meta?.legend === "wide") layout.showlegend = false;
    if (!layout.margin) layout.margin = { ...layout.template.layout.margin, t: 12 };
  }
  const chosen = layout.meta?.choices?.[by];
  if (chosen) {
    figure.data.forEach((trace, at) => Object.assign(trace, chosen.data[at]));
    Object.assign(layout, chosen.layout);
  }
  const tools = narrow.matches || figure.data[0].type === "parcoords" ? false : "hover";
  return Plotly.react(place, figure.data, layout, { ...found.config, displayModeBar: tools });
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
for (const choice of document.querySelectorAll("select[data-of]")) {
  choice.addEventListener("change", () => draw(document.querySelector(`.plot[data-plot="${choice.dataset.of}"]`)));
}
dark.addEventListener("change", drawAll);
narrow.addEventListener("change", drawAll);
addEventListener("resize", hint);
drawAll();
