// Where one is: the view and its choices, in the address after the #, so that a link leads back to the same picture.

export function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: path || "now", choices: Object.fromEntries(new URLSearchParams(query)) };
}

export function link(view, choices = {}) {
  const kept = Object.entries(choices).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(kept).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

export function go(view, choices) {
  location.hash = link(view, choices);
}

// Stay in the view and remember a choice, without a step in the history.
export function note(choices) {
  const here = read();
  history.replaceState(null, "", link(here.view, { ...here.choices, ...choices }));
}

// A page of Airflow itself; inside its frame the frame's owner is asked to go there.
export function airflow(path) {
  const root = location.pathname.replace(/\/biomem\/.*$/, "");
  return `${root}${path}`;
}

export function openInAirflow(event, address) {
  if (window.parent === window || event.ctrlKey || event.metaKey || event.button) return;
  event.preventDefault();
  window.parent.history.pushState({}, "", address);
  window.parent.dispatchEvent(new PopStateEvent("popstate"));
}
