// Returns the texts whose contrast with what is behind them is below 4.5, the least that WCAG 2.2 allows (1.4.3).
const light = colour =>
  [0, 1, 2]
    .map(i => colour[i] / 255)
    .map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const parse = text => text.match(/[\d.]+/g).map(Number);
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour[3] !== 0) return colour;
  }
  return [0, 0, 0];
};
const faint = [];
for (const e of document.querySelectorAll("body *")) {
  const isText = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  if (!isText || !e.checkVisibility() || e.closest(":disabled")) continue;
  const [low, high] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => x - y);
  if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(e.textContent.trim().slice(0, 40));
}
return faint;
