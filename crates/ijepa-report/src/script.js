"use strict";
// Shows the values under the pointer, or under the arrow keys, of every curve of a chart.
for (const chart of document.querySelectorAll(".chart")) {
  const curves = JSON.parse(chart.querySelector("script").textContent);
  const svg = chart.querySelector("svg");
  const tip = chart.querySelector(".tip");
  const cursor = chart.querySelector(".cursor");
  const width = svg.viewBox.baseVal.width;
  const places = [...new Set(curves.flatMap((curve) => curve.points.map((point) => point[0])))].sort((a, b) => a - b);
  let at = -1;

  const nearest = (points, x) =>
    points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));

  function show(x) {
    const found = curves.map((curve) => [curve.name, nearest(curve.points, x)]);
    const place = nearest(found.map((pair) => pair[1]), x)[0];
    at = places.indexOf(place);
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    cursor.style.visibility = "visible";
    const lines = found.map(([name, point]) => {
      const line = document.createElement("div");
      line.textContent = (curves.length > 1 ? name + ": " : "") + point[3] + " at " + point[2];
      return line;
    });
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const room = svg.clientWidth - tip.offsetWidth;
    tip.style.left = Math.max(0, Math.min(room, (place / width) * svg.clientWidth - tip.offsetWidth / 2)) + "px";
  }

  function hide() {
    tip.hidden = true;
    cursor.style.visibility = "hidden";
  }

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    show(((event.clientX - box.left) / box.width) * width);
  });
  svg.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(places[Math.max(0, Math.min(places.length - 1, at + step))]);
  });
}
document.documentElement.dataset.ready = String(document.querySelectorAll(".chart").length);
