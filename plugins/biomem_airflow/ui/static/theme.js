// Light or dark before anything is drawn: Airflow's own theme inside Airflow, else the last choice, else the system's.
(() => {
  const root = document.documentElement;
  const host = () => {
    try {
      return window.parent !== window ? window.parent.document.documentElement : null;
    } catch {
      return null; // a foreign page around this one, which the CSP does not let happen
    }
  };
  const stored = () => localStorage.getItem("biomem-theme");
  const system = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const wanted = () => {
    const airflow = host();
    if (airflow) return airflow.classList.contains("dark") ? "dark" : "light";
    return stored() || system();
  };
  const apply = () => {
    const theme = wanted();
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    window.dispatchEvent(new CustomEvent("themechange"));
  };
  window.biomemTheme = {
    isHosted: () => host() !== null,
    toggle: () => {
      localStorage.setItem("biomem-theme", root.dataset.theme === "dark" ? "light" : "dark");
      apply();
    },
  };
  const airflow = host();
  if (airflow) new MutationObserver(apply).observe(airflow, { attributes: true, attributeFilter: ["class"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
})();
