// The only text that may become a script is the address of one of the app's own (see the server's policy for pages).
if (window.trustedTypes) {
  window.trustedTypes.createPolicy("default", {
    createScriptURL: function (text) {
      var url = new URL(text, location.href);
      if (url.origin === location.origin && (url.pathname === "/sw.js" || url.pathname.indexOf("/assets/") === 0)) return text;
      throw new TypeError("not a script of this app: " + text);
    },
  });
}

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
