for (const viewer of document.querySelectorAll(".viewer")) {
  const slider = viewer.querySelector("input[type=range]");
  const told = JSON.parse(viewer.dataset.told);
  const output = viewer.querySelector("output");
  const thumbnails = [...viewer.querySelectorAll("[data-moment]")];
  const play = viewer.querySelector(".play");
  const stretch = viewer.querySelector("input[type=checkbox]");
  let timer = 0;
  const show = () => {
    const at = Number(slider.value);
    viewer.style.setProperty("--at", `${100 * at / Math.max(told.length - 1, 1)}%`);
    output.textContent = told[at];
    slider.setAttribute("aria-valuetext", told[at]);
    const apart = thumbnails.map((one) => Math.abs(one.dataset.moment - at));
    const nearest = apart.indexOf(Math.min(...apart));
    thumbnails.forEach((one, i) => one.classList.toggle("now", i === nearest));
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  const go = (at) => { slider.value = at; show(); };
  slider.addEventListener("input", () => { stop(); show(); });
  thumbnails.forEach((one) => one.addEventListener("click", () => { stop(); go(one.dataset.moment); }));
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Stop";
    timer = setInterval(() => go((Number(slider.value) + 1) % told.length), 300);
  });
  if (stretch) stretch.addEventListener("change", () => viewer.classList.toggle("stretched", stretch.checked));
  viewer.querySelector(".controls").hidden = false;
  show();
}
