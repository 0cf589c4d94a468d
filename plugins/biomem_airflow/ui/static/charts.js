// Charts: one place that knows the theme, the sizes and the tooltips. Labels are canvas text, so nothing can be HTML.

import { h } from "./dom.js";

const drawn = new Set();

export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export function palette() {
  return [1, 2, 3, 4, 5, 6, 7, 8].map((place) => color(`c${place}`));
}

export function swatch(place) {
  return `var(--c${(place % 8) + 1})`;
}

// `make` returns the options; it is asked again when the theme changes. `label` tells a screen reader what is drawn.
export function chart(label, make, { size = "", onclick } = {}) {
  const box = h("div", { class: `chart ${size}`, role: "img", "aria-label": label });
  const entry = { box, instance: null };
  entry.draw = () => {
    const old = entry.instance;
    if (old) old.dispose();
    entry.instance = window.echarts.init(box, null, { renderer: "canvas" });
    entry.instance.setOption({ ...base(), ...make() });
    if (onclick) entry.instance.on("click", onclick);
  };
  drawn.add(entry);
  requestAnimationFrame(() => box.isConnected && entry.draw());
  entry.resize = new ResizeObserver(() => entry.instance && entry.instance.resize());
  entry.resize.observe(box);
  return box;
}

export function forget() {
  for (const entry of drawn) {
    entry.resize.disconnect();
    if (entry.instance) entry.instance.dispose();
  }
  drawn.clear();
}

window.addEventListener("themechange", () => {
  for (const entry of drawn) if (entry.instance) entry.draw();
});

export function axis(more = {}) {
  const text = { color: color("soft"), ...more.axisLabel };
  return {
    axisLine: { lineStyle: { color: color("line") } },
    axisTick: { lineStyle: { color: color("line") } },
    splitLine: { show: more.type !== "category", lineStyle: { color: color("line"), opacity: 0.6 } },
    nameTextStyle: { color: color("soft") },
    ...more,
    axisLabel: text,
  };
}

export function tooltip(more = {}) {
  return {
    renderMode: "richText",
    confine: true,
    backgroundColor: color("card"),
    borderColor: color("line"),
    textStyle: { color: color("ink"), fontSize: 13 },
    ...more,
  };
}

export function legend(more = {}) {
  return { textStyle: { color: color("ink") }, inactiveColor: color("soft"), pageTextStyle: { color: color("soft") }, type: "scroll", top: 0, ...more };
}

// Two or more counts beside each other: `series` are [name, values, colour].
export function bars(label, categories, series) {
  return chart(label, () => ({
    legend: legend(), tooltip: tooltip({ trigger: "axis" }),
    xAxis: axis({ type: "category", data: categories }), yAxis: axis({ type: "value", minInterval: 1 }),
    series: series.map(([name, data, tint]) => ({ name, type: "bar", data, itemStyle: { color: tint } })),
  }), { size: "low" });
}

function base() {
  return {
    color: palette(),
    textStyle: { fontFamily: getComputedStyle(document.documentElement).fontFamily },
    animation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    animationDuration: 350,
    grid: { left: 8, right: 16, top: 40, bottom: 8, containLabel: true },
  };
}
