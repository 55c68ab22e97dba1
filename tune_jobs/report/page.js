"use strict";
const found = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 640px)");

function color(figure, by) { // lines by a field, not by trial
  const { lines, bands, behind, colorings } = figure.layout.meta;
  const { name, colors, names, bar } = colorings[by];
  const seen = new Set();
  for (const place of behind) figure.data[place].visible = false;
  lines.forEach((place, line) => {
    const trace = figure.data[place], known = names[line];
    Object.assign(trace, { visible: true, name: known, legendgroup: known, legendrank: 1000, showlegend: known !== "" && !seen.has(known) });
    trace.line = { color: colors[line], width: 1.5 };
    seen.add(known);
  });
  for (const [place, line] of bands) figure.data[place].fillcolor = colors[line] + figure.data[place].fillcolor.slice(7);
  const above = { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom" };
  figure.layout.legend = { ...above, title: { text: bar ? "" : name } };
  figure.layout.meta = {};
  if (!bar) return;
  const scale = { showscale: true, coloraxis: "coloraxis", color: [bar.cmin, bar.cmax] };
  figure.data.push({ x: [null, null], y: [null, null], mode: "markers", marker: scale, showlegend: false, hoverinfo: "skip" });
  figure.layout.coloraxis = { ...bar, colorbar: { ...bar.colorbar, ...above, len: 0.6, thickness: 12, outlinewidth: 0 } };
  figure.layout.legend = { ...above, x: 1, xanchor: "right" };
}

function draw(place) {
  const figure = structuredClone(found.figures[place.dataset.plot]);
  const by = Number(document.querySelector(`select[data-of="${place.dataset.plot}"]`)?.value ?? 0);
  if (by > 0) color(figure, by - 1);
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
for (const choice of document.querySelectorAll("select[data-of]")) {
  choice.addEventListener("change", () => draw(document.querySelector(`.plot[data-plot="${choice.dataset.of}"]`)));
}
dark.addEventListener("change", drawAll);
narrow.addEventListener("change", drawAll);
drawAll();
