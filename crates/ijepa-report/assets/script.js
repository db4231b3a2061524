"use strict";
// Draws every chart with uPlot: drag to zoom, double click to zoom out, one cursor in all charts.
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const COLORS = 6;
const DASHES = [[], [8, 4], [2, 4], [10, 4, 2, 4], [14, 4]];
const sync = uPlot.sync("charts");
const options = { smoothing: 0, log: false, seeds: false, hidden: new Set() };
const format = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 5 });
const number = (value) =>
  value == null ? "–" : Math.abs(value) < 1e-3 && value !== 0 ? value.toExponential(2) : format.format(value);

// Exponential mean of what came before, without a bias towards its beginning.
function smooth(ys) {
  const keep = options.smoothing;
  let sum = 0;
  let weight = 0;
  return keep === 0
    ? ys
    : ys.map((y) => {
        sum = keep * sum + (1 - keep) * y;
        weight = keep * weight + (1 - keep);
        return sum / weight;
      });
}

// Value of a curve at x, between its points.
function at(curve, x) {
  const next = curve.x.findIndex((other) => other >= x);
  if (next < 0 || (next === 0 && curve.x[0] > x)) return null;
  if (curve.x[next] === x || next === 0) return curve.y[next];
  const [x0, x1, y0, y1] = [curve.x[next - 1], curve.x[next], curve.y[next - 1], curve.y[next]];
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

// Seeds of one recipe as their mean between the lowest and the highest.
function means(curves) {
  const groups = Map.groupBy(curves, (curve) => curve.group);
  return [...groups.values()].map((group) => {
    if (group.length === 1) return group[0];
    const x = [...new Set(group.flatMap((curve) => curve.x))].sort((a, b) => a - b);
    const values = x.map((x) => group.map((curve) => at(curve, x)).filter((y) => y !== null));
    return {
      ...group[0],
      name: group[0].name + " (" + group.length + " seeds)",
      x,
      y: values.map((ys) => ys.reduce((a, b) => a + b, 0) / ys.length),
      low: values.map((ys) => Math.min(...ys)),
      high: values.map((ys) => Math.max(...ys)),
    };
  });
}

function draw(figure, chart) {
  let curves = chart.series.filter((curve) => !options.hidden.has(curve.run));
  curves = curves.map((curve) => ({ ...curve, y: smooth(curve.y) }));
  if (options.seeds) curves = means(curves);
  const series = [{ label: chart.x_label, value: (_, x) => number(x) }];
  const tables = [];
  const bands = [];
  for (const curve of curves) {
    const color = css("--s" + (curve.run % COLORS));
    const columns = [curve.x, curve.y];
    series.push({
      label: curve.name,
      stroke: color,
      width: 2,
      dash: DASHES[Math.floor(curve.run / COLORS) % DASHES.length],
      spanGaps: true,
      points: { show: curve.x.length <= 24, size: 6, fill: color },
      value: (_, y) => number(y),
    });
    if (curve.low && options.smoothing === 0) {
      bands.push({ series: [series.length + 1, series.length], fill: color + "28" });
      for (const edge of [curve.low, curve.high]) {
        columns.push(edge);
        series.push({ label: "", width: 0, spanGaps: true, points: { show: false }, class: "edge" });
      }
    }
    tables.push(columns);
    if (curve.start != null && curve.x.length > 1) {
      series.push({ label: "", stroke: color, width: 1, dash: [2, 3], spanGaps: true, points: { show: false }, class: "edge" });
      tables.push([[curve.x[0], curve.x[curve.x.length - 1]], [curve.start, curve.start]]);
    }
  }
  const plot = figure.querySelector(".plot");
  plot.replaceChildren();
  if (tables.length === 0) return;
  const positive = curves.every((curve) => curve.y.every((y) => y > 0) && (curve.low ?? []).every((y) => y > 0));
  const axis = { stroke: css("--soft"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "11px system-ui" };
  const labels = (_, ticks) => ticks.map((tick) => (tick == null ? "" : number(tick)));
  new uPlot(
    {
      width: plot.clientWidth || 380,
      height: 210,
      series,
      bands,
      scales: {
        x: { time: false, distr: chart.x_log ? 3 : 1 },
        y: { distr: positive && (options.log || chart.y_log) ? 3 : 1 },
      },
      axes: [
        { ...axis, values: labels, space: 60 },
        { ...axis, values: labels, size: 62 },
      ],
      cursor: { sync: { key: sync.key, setSeries: false }, y: false },
      legend: { live: true },
    },
    tables.length > 1 ? uPlot.join(tables) : tables[0],
    plot,
  );
}

const figures = [...document.querySelectorAll(".chart")];
const charts = figures.map((figure) => JSON.parse(figure.querySelector("script").textContent));
const redraw = () => figures.forEach((figure, number) => draw(figure, charts[number]));

for (const input of document.querySelectorAll(".controls input")) {
  input.addEventListener("input", () => {
    if (input.name === "smoothing") options.smoothing = Number(input.value);
    if (input.name === "log") options.log = input.checked;
    if (input.name === "seeds") options.seeds = input.checked;
    if (input.name === "run") options.hidden[input.checked ? "delete" : "add"](Number(input.value));
    redraw();
  });
}
let width = 0;
addEventListener("resize", () => {
  if (width !== innerWidth) redraw();
  width = innerWidth;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
redraw();
const drawn = figures.filter((figure) => figure.querySelector("canvas")).length;
document.documentElement.dataset.ready = String(drawn);
