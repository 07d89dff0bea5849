// The admin site's times in the zone of the reader's browser, the headings of tables on a phone, and the live refresh.
"use strict";

const REFRESH_MS = 15000;

function localTime(time) {
    const two = (number) => String(number).padStart(2, "0");
    const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
    return `${day} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":")}`;
}

function showLocalTimes() {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    for (const element of document.querySelectorAll("time[datetime]")) {
        const time = new Date(element.dateTime);
        if (!Number.isNaN(time.getTime())) {
            element.title = `${element.textContent}, here in ${zone}`;
            element.textContent = localTime(time);
        }
    }
}

function labelCells() {
    for (const table of document.querySelectorAll("#result_list, table.labelled")) {
        const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
        for (const row of table.querySelectorAll("tbody tr")) {
            [...row.cells].forEach((cell, at) => {
                cell.dataset.label = heads[at] || "";
            });
        }
        table.classList.add("labelled");
    }
}

function closeFiltersOnPhone() {
    if (matchMedia("(max-width: 640px)").matches) {
        for (const filter of document.querySelectorAll("#changelist-filter details[open]")) {
            // One that filters stays open.
            const first = filter.querySelector("li");
            const text = filter.querySelector("input[type=text]");
            filter.open = (first && !first.classList.contains("selected")) || (text !== null && text.value !== "");
        }
    }
}

function refreshWhileTicked() {
    const box = document.getElementById("live");
    // A form would lose what is typed.
    if (!box || document.querySelector(".submit-row input[type=submit]")) {
        return;
    }
    box.parentElement.hidden = false;
    const key = `live ${location.pathname}`;
    box.checked = sessionStorage.getItem(key) === "yes";
    box.addEventListener("change", () => sessionStorage.setItem(key, box.checked ? "yes" : "no"));
    setInterval(() => {
        // Nobody loses what they have selected or typed.
        const busy = document.querySelector(".action-select:checked, input[type=text]:focus, textarea:focus");
        if (box.checked && !busy && !document.hidden) {
            location.reload();
        }
    }, REFRESH_MS);
}

document.addEventListener("DOMContentLoaded", () => {
    showLocalTimes();
    labelCells();
    closeFiltersOnPhone();
    refreshWhileTicked();
});
