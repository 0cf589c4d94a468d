// Building the page: elements, times and numbers. Text always arrives as text, never as HTML.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const LOCAL = { dateStyle: "medium", timeStyle: "short" };
const SECONDS = { dateStyle: "medium", timeStyle: "medium" };

export function localTime(iso, withSeconds = false) {
  return new Intl.DateTimeFormat(undefined, withSeconds ? SECONDS : LOCAL).format(new Date(iso));
}

export function utc(iso) {
  return `${new Date(iso).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

export function time(iso, { text, withSeconds = false } = {}) {
  if (!iso) return h("span", {}, "never");
  return h("time", { datetime: iso, title: utc(iso) }, text ?? localTime(iso, withSeconds));
}

const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [31_536_000, "day", 86400], [Infinity, "year", 31_536_000]];

export function duration(seconds, isShort = false) {
  const size = Math.abs(seconds);
  const [, unit, length] = STEPS.find(([limit]) => size < limit);
  const count = size / length;
  const digits = unit === "second" || count >= 10 ? 0 : 1;
  return new Intl.NumberFormat(undefined, { style: "unit", unit, unitDisplay: isShort ? "short" : "long", maximumFractionDigits: digits }).format(count);
}

export function between(from, to) {
  return (new Date(to) - new Date(from)) / 1000;
}

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  return new Intl.NumberFormat(undefined, { maximumSignificantDigits: Math.abs(value) >= 1000 ? 21 : digits, maximumFractionDigits: 6 }).format(value);
}

export function whole(value) {
  return value === null || value === undefined ? "–" : new Intl.NumberFormat().format(Math.round(value));
}

export function percent(share) {
  return new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 0 }).format(share);
}

export function short(text, length = 90) {
  if (text === null || text === undefined) return "(no text)";
  const line = String(text).replace(/\s+/g, " ");
  return [...line].length > length ? `${[...line].slice(0, length).join("")}…` : line;
}

export function table(caption, columns, rows) {
  const cell = (column, row) => {
    const value = column.value(row);
    return h("td", { class: column.isNumber && "number" }, value instanceof Node ? value : String(value ?? "–"));
  };
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "hidden-text" }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.isNumber && "number" }, column.name)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((column) => cell(column, row)))))));
}

export function asTable(caption, columns, rows) {
  return h("details", { class: "table" }, h("summary", {}, "Show as a table"), table(caption, columns, rows));
}

export function state(title, text, ...actions) {
  return h("div", { class: "card state" }, h("h2", {}, title), h("p", {}, text), ...actions);
}

export function pages(page, size, total, go) {
  if (total <= size) return null;
  const last = Math.ceil(total / size) - 1;
  return h("div", { class: "pages" },
    h("button", { type: "button", disabled: page === 0, onclick: () => go(page - 1) }, "Previous"),
    h("span", {}, `${whole(page * size + 1)} to ${whole(Math.min(total, (page + 1) * size))} of ${whole(total)}`),
    h("button", { type: "button", disabled: page >= last, onclick: () => go(page + 1) }, "Next"));
}
