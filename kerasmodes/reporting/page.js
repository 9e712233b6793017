// Shows the samples of the epoch that the slider stands at.
for (const slider of document.querySelectorAll(".slider")) {
  const input = slider.querySelector("input");
  const output = slider.querySelector("output");
  const frames = slider.parentElement.querySelectorAll(".frame");
  const show = () => {
    frames.forEach((frame, place) => { frame.hidden = place !== Number(input.value); });
    output.textContent = "epoch " + frames[input.value].dataset.epoch;
  };
  slider.hidden = frames.length < 2;
  input.addEventListener("input", show);
  show();
}
