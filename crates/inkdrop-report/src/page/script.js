"use strict";

// Sample grids: one picture with a slider.
for (const strip of document.querySelectorAll(".strip")) {
  const figures = [...strip.querySelectorAll("figure")];
  if (figures.length < 2) continue;
  const controls = document.createElement("div");
  const slider = document.createElement("input");
  const play = document.createElement("button");
  const output = document.createElement("output");
  controls.className = "controls";
  Object.assign(slider, { type: "range", min: 0, max: figures.length - 1, step: 1 });
  slider.setAttribute("aria-label", "step of the samples");
  play.type = "button";
  controls.append(play, slider, output);
  strip.before(controls);
  strip.classList.add("player");
  strip.removeAttribute("tabindex");

  let timer = null;
  const show = (index) => {
    figures.forEach((figure, i) => figure.classList.toggle("shown", i === index));
    slider.value = index;
    output.textContent = `step ${figures[index].dataset.step}`;
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    let index = Number(slider.value);
    if (index === figures.length - 1) show(index = 0);
    play.textContent = "Stop";
    timer = setInterval(() => {
      index += 1;
      show(index);
      if (index === figures.length - 1) stop();
    }, 500);
  });
  stop();
  show(figures.length - 1);
}

// Charts: the values under the pointer.
const axis = (text) => {
  const [low, high, kind] = text.split(" ");
  const [a, b] = [Number(low), Number(high)];
  return kind === "log" ? (share) => a * (b / a) ** share : (share) => a + (b - a) * share;
};
const short = (value) => Number(value.toPrecision(3)).toString();

for (const svg of document.querySelectorAll(".card svg")) {
  const [left, right, top, bottom] = svg.dataset.frame.split(" ").map(Number);
  const [x, y] = [axis(svg.dataset.x), axis(svg.dataset.y)];
  const cursor = svg.querySelector(".cursor");
  const readout = svg.parentElement.querySelector(".readout");
  const curves = [...svg.querySelectorAll("g[data-name]")].map((g) => ({
    name: g.dataset.name,
    points: [...g.querySelectorAll("polyline")].flatMap((line) =>
      line.getAttribute("points").split(" ").filter(Boolean).map((point) => point.split(",").map(Number))),
  })).filter((curve) => curve.points.length > 0);
  const values = (at) => curves.map((curve) => {
    const nearest = curve.points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a);
    const value = short(y((bottom - nearest[1]) / (bottom - top)));
    return curves.length > 1 ? `${curve.name} ${value}` : value;
  });
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = Math.min(right, Math.max(left, (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width));
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    cursor.style.visibility = "visible";
    const place = Math.round(x((at - left) / (right - left)));
    readout.textContent = `${svg.dataset.xName} ${place}: ${values(at).join(", ")}`;
  });
  svg.addEventListener("pointerleave", () => {
    cursor.style.visibility = "hidden";
    readout.textContent = "\u00a0";
  });
}
