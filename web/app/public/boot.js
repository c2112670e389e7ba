// Before the first paint: the theme and the language as they were chosen, so that nothing flashes.
(function () {
  try {
    var kept = JSON.parse(localStorage.getItem("tertulia.preferences") || "{}");
    var root = document.documentElement;
    if (kept.theme === "light" || kept.theme === "dark") root.dataset.theme = kept.theme;
    if (kept.language) root.lang = kept.language;
  } catch (_) {
    // Storage may be closed to us; the defaults hold.
  }
})();
