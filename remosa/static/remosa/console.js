/* Keeps ages and countdowns running between two refreshes of the page. No words are made here except
   ages, which the browser says in the language of the page. */
(function () {
  "use strict";

  var offset = 0; // the server's clock minus ours, milliseconds

  function readClock(root) {
    var holder = root.querySelector ? root.querySelector("[data-server-now]") : null;
    if (holder) {
      offset = Date.parse(holder.getAttribute("data-server-now")) - Date.now();
    }
  }

  function two(number) {
    return number < 10 ? "0" + number : String(number);
  }

  function showCountdowns() {
    var now = Date.now() + offset;
    document.querySelectorAll(".rm-countdown").forEach(function (item) {
      var left = Math.floor((Date.parse(item.dataset.deadline) - now) / 1000);
      if (left <= 0) {
        item.textContent = item.dataset.over;
        return;
      }
      var hours = Math.floor(left / 3600);
      var minutes = Math.floor((left % 3600) / 60);
      item.textContent = (hours ? hours + ":" + two(minutes) : minutes) + ":" + two(left % 60);
    });
  }

  function ageText(seconds, format) {
    if (seconds < 60) return format.format(-Math.max(0, seconds), "second");
    if (seconds < 3600) return format.format(-Math.floor(seconds / 60), "minute");
    if (seconds < 86400) return format.format(-Math.floor(seconds / 3600), "hour");
    return format.format(-Math.floor(seconds / 86400), "day");
  }

  function showAges() {
    if (!window.Intl || !Intl.RelativeTimeFormat) return;
    var format = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", {
      numeric: "always",
      style: "short",
    });
    var now = Date.now() + offset;
    document.querySelectorAll("time.rm-ago").forEach(function (item) {
      var seconds = Math.floor((now - Date.parse(item.getAttribute("datetime"))) / 1000);
      if (!Number.isNaN(seconds)) item.textContent = ageText(seconds, format);
    });
  }

  // a form that was sent once is not sent twice by an impatient hand
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (!form.classList || !form.classList.contains("rm-once")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    form.querySelectorAll("button[type=submit]").forEach(function (button) {
      button.classList.add("rm-busy");
    });
  });

  document.addEventListener("click", function (event) {
    var button = event.target.closest ? event.target.closest("[data-copy]") : null;
    if (!button) return;
    var source = document.getElementById(button.dataset.copy);
    if (source && navigator.clipboard) navigator.clipboard.writeText(source.textContent.trim());
  });

  document.addEventListener("htmx:afterSwap", function (event) {
    readClock(event.target);
    showCountdowns();
    showAges();
  });

  // the session has ended, or another page came instead: open the page anew, which leads to the sign-in
  document.addEventListener("htmx:beforeSwap", function (event) {
    var target = event.detail.target;
    if (!target || !target.hasAttribute("data-live")) return;
    if (event.detail.xhr.responseText.indexOf("data-server-now") === -1) {
      event.detail.shouldSwap = false;
      window.location.reload();
    }
  });

  // the connection to REMOSA itself is lost: what is shown is old, and says so
  function markLive(isLive) {
    document.querySelectorAll("[data-live]").forEach(function (item) {
      item.classList.toggle("rm-lost", !isLive);
    });
  }
  document.addEventListener("htmx:sendError", function () { markLive(false); });
  document.addEventListener("htmx:responseError", function () { markLive(false); });
  document.addEventListener("htmx:afterOnLoad", function () { markLive(true); });

  // on a phone each cell of a list says its column's name: as a sentence begins
  function startWithCapital() {
    document.querySelectorAll("td[data-label]").forEach(function (cell) {
      cell.dataset.label = cell.dataset.label.charAt(0).toUpperCase() + cell.dataset.label.slice(1);
    });
  }

  document.addEventListener("DOMContentLoaded", function () {
    readClock(document);
    startWithCapital();
    showCountdowns();
    showAges();
    window.setInterval(showCountdowns, 1000);
    window.setInterval(showAges, 10000);
  });
})();
