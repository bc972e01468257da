"use strict";
const filter = document.querySelector("form.filter");
if (filter) {
  const scenarios = [...document.querySelectorAll("details.scenario")];
  const apply = () => {
    const status = filter.elements.status.value;
    const words = filter.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const scenario of scenarios) {
      const feature = scenario.closest(".feature");
      const text = `${feature.querySelector("h3").textContent} ${scenario.querySelector("summary").textContent} ${scenario.querySelector("p").textContent}`.toLowerCase();
      const fits = (!status || scenario.dataset.status === status) && words.every(word => text.includes(word));
      scenario.hidden = !fits;
      shown += fits;
    }
    for (const feature of document.querySelectorAll(".feature")) feature.hidden = !feature.querySelector("details.scenario:not([hidden])");
    filter.elements.shown.textContent = shown === scenarios.length ? "" : `${shown} of ${scenarios.length}`;
  };
  filter.hidden = false;
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", event => event.preventDefault());
  const open = () => { const target = location.hash && document.getElementById(location.hash.slice(1)); if (target instanceof HTMLDetailsElement) target.open = true; };
  addEventListener("hashchange", open);
  open();
}
