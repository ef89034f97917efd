// A patient's scores over time: a drawing of one score, with the bands of its rule, and the same as
// a table. Drawn as SVG; nothing is loaded for it.

import { h, table } from './dom.js';
import { t, time, onLanguage } from './i18n.js';
import { readInstrument, pick, listName } from './instruments.js';
import { readResponses } from './readresponses.js';

const pageSize = 100;
const most = 1000;          // responses that are read for one plot
const height = 230;
const insetOf = { top: 22, right: 14, bottom: 28, left: 34 };
const wide = 560;           // px, from which on the names of the bands stand beside the drawing
const open = new Map();     // container -> {responses, state, choice, here, control}
const observer = new ResizeObserver((entries) => { for (const { target } of entries) if (open.has(target)) draw(target); });

/** Reads the scores of what the filters say and shows them. here is the response that is marked. */
export async function showPlot(container, filters, here = null) {
  closePlot(container);
  const control = new AbortController();
  const plot = { responses: [], definitions: new Map(), state: 'loading', choice: '', here, control };
  open.set(container, plot);
  container.hidden = false;
  render(container);
  observer.observe(container);
  try {
    await read(plot, filters, control.signal);
    plot.state = '';
  } catch {
    plot.state = 'failed';
  }
  if (!control.signal.aborted) render(container);
}

/** Takes the plot away. */
export function closePlot(container) {
  open.get(container)?.control.abort();
  open.delete(container);
  observer.unobserve(container);
  container.hidden = true;
  container.replaceChildren();
}

async function read(plot, filters, signal) {
  let cursor = null;
  do {
    const answer = await readResponses({ ...filters, limit: pageSize, cursor }, signal);
    plot.responses.push(...answer.items);
    cursor = answer.next;
  } while (cursor && plot.responses.length < most);
  plot.cut = Boolean(cursor);
  // No filter says "of no study", and the same patient ID in another study is another patient.
  if (plot.here) plot.responses = plot.responses.filter((one) => one.study === plot.here.study);
  plot.responses.sort((a, b) => Date.parse(a.times.authored) - Date.parse(b.times.authored));
  for (const { study, instrument, version } of plot.responses) {
    const key = keyOf(study, instrument);
    // The newest is the last: its names and bands are those that are shown.
    if (plot.definitions.get(key)?.version !== version) {
      plot.definitions.set(key, await readInstrument({ id: instrument, version }, study).catch(() => ({ id: instrument, version, title: {}, scores: [] })));
    }
  }
}

const keyOf = (...parts) => JSON.stringify(parts);

// Each score of each instrument and study for which there is something.
function choices({ responses, definitions }) {
  const found = new Map();
  const studies = new Set(responses.map((one) => one.study));
  for (const response of responses) {
    const definition = definitions.get(keyOf(response.study, response.instrument));
    for (const score of response.scores) {
      const key = keyOf(response.study, response.instrument, score.id);
      if (!found.has(key)) {
        const rule = definition?.scores.find((one) => one.id === score.id);
        const name = [studies.size > 1 ? response.study ?? '–' : '', listName(pick(definition?.title)) || response.instrument, pick(rule?.title) || score.id];
        found.set(key, { key, title: name.filter(Boolean).join(' · '), short: pick(rule?.title) || score.id, rule, values: [] });
      }
      found.get(key).values.push({ response, score, at: Date.parse(response.times.authored) });
    }
  }
  return [...found.values()];
}

function render(container) {
  const plot = open.get(container);
  if (!plot) return;
  const heading = h('h2', { textContent: t('plotHeading') });
  const all = choices(plot);
  const chosen = all.find(({ key }) => key === plot.choice) ?? all[0];
  if (!chosen) {
    const text = { loading: t('plotLoading'), failed: t('plotFailed') }[plot.state] ?? t('plotNone');
    container.replaceChildren(heading, h('p', { className: 'plain', textContent: text }));
    return;
  }
  const select = h('select', {}, ...all.map(({ key, title }) => h('option', { value: key, textContent: title })));
  select.value = chosen.key;
  select.addEventListener('change', () => {
    plot.choice = select.value;
    render(container);
    container.querySelector('select').focus();
  });
  const notes = [];
  if (plot.state === 'failed') notes.push(t('plotFailed'));
  if (plot.cut) notes.push(t('plotMost', { most }));
  if (new Set(chosen.values.map(({ score }) => score.rule.sha256)).size > 1) notes.push(t('plotRules'));
  container.replaceChildren(heading, h('label', { className: 'plotChoice' }, t('plotChoice'), select),
    h('div', { className: 'drawing' }), ...notes.map((text) => h('p', { className: 'plain', textContent: text })), tableOf(chosen));
  plot.chosen = chosen;
  draw(container);
}

function tableOf({ title, rule, values }) {
  return table(title, [t('time'), t('value'), t('band'), t('answered')], values.toReversed().map(({ response, score }) => h('tr', {},
    h('th', { scope: 'row' }, h('a', { href: `#/${response.id}`, textContent: time(response.times.authored, { dateStyle: 'medium', timeStyle: 'short' }) }), response.visitId ? h('small', { textContent: response.visitId }) : ''),
    h('td', { className: 'number', textContent: String(score.value ?? '–') }),
    h('td', { textContent: pick(rule?.bands.find((one) => one.code === score.band)?.text) || score.band || '' }),
    h('td', { textContent: t('answeredOf', { answered: score.answered, total: score.answered + score.missing }) }))));
}

// ---- the drawing ----

function draw(container) {
  const { chosen, here } = open.get(container);
  const box = container.querySelector('.drawing');
  if (!box || !chosen || !box.clientWidth) return;
  const width = box.clientWidth;
  const { rule, values, title } = chosen;
  const known = values.filter(({ score }) => score.value !== null);
  const least = rule?.least ?? Math.min(...known.map(({ score }) => score.value), 0);
  const top = rule?.most ?? Math.max(...known.map(({ score }) => score.value), 1);
  const inset = { ...insetOf, right: width < wide ? insetOf.right : insetOf.right + Math.max(0, ...(rule?.bands ?? []).map((band) => lengthOf(nameOf(band)))) };
  const [first, last] = [values[0].at, values.at(-1).at];
  const x = (at) => (last === first ? (inset.left + width - inset.right) / 2 : inset.left + 8 + ((at - first) / (last - first)) * (width - inset.left - inset.right - 16));
  const y = (value) => inset.top + (1 - (value - least) / (top - least || 1)) * (height - inset.top - inset.bottom);
  const points = known.map(({ score, at }) => ({ x: x(at), y: y(score.value) }));
  box.replaceChildren(svg('svg', { class: 'plot', viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': t('plotSummary', { title, n: known.length }) },
    ...bands(rule, width, inset, y, least, top, points),
    svg('path', { class: 'axis', d: `M${inset.left} ${y(top)}V${y(least)}H${width - inset.right}` }),
    ...[...new Set([first, last])].map((at, i, both) => text(time(at, { dateStyle: 'medium' }), x(at), height - 8, both.length === 1 ? 'middle' : i ? 'end' : 'start', both.length === 1 ? 0 : i ? 8 : -8)),
    svg('path', { class: 'line', d: line(values, x, y) }),
    ...known.map(({ response, score, at }) => svg('circle', { class: `point${response.id === here?.id ? ' here' : ''}`, cx: x(at), cy: y(score.value), r: 5 },
      svg('title', {}, `${time(response.times.authored, { dateStyle: 'medium', timeStyle: 'short' })}: ${score.value}`))),
    ...(known.length <= 12 ? known.map(({ score, at }) => text(String(score.value), x(at), y(score.value) - 11, 'middle', 0, 'value')) : [])));
}

// The bands lie behind the values, each from its lowest value to that of the next.
function bands(rule, width, inset, y, least, top, points) {
  const all = [...(rule?.bands ?? [])].sort((a, b) => a.from - b.from);
  const ticks = [...new Set([...all.map(({ from }) => from), least, top])];
  return [
    ...all.flatMap((band, i) => {
      const upper = y(all[i + 1]?.from ?? top);
      const tall = y(band.from) - upper;
      return [svg('rect', { class: `band${i % 2 ? '' : ' even'}`, x: inset.left, y: upper, width: width - inset.left - inset.right, height: Math.max(tall, 0) }),
        tall >= 15 ? bandName(nameOf(band), width, inset, width < wide ? upper + 12 : upper + tall / 2 + 4, points) : ''];
    }),
    ...ticks.map((value) => text(String(value), inset.left - 7, y(value) + 4, 'end')),
  ];
}

const nameOf = (band) => pick(band.text) || band.code;

// About how long a text is in px, in the size of the drawing.
const lengthOf = (words) => [...words].reduce((sum, c) => sum + (c > '\u2e80' ? 14 : 7.5), 0);

// Where there is no room beside the drawing it stands in the band, at the end where no point and no value hides it.
function bandName(words, width, inset, y, points) {
  if (width >= wide) return text(words, width - inset.right + 8, y, 'start', 0, 'bandName');
  const long = lengthOf(words);
  const places = [[width - inset.right - 6 - long, 'end', long], [inset.left + 6, 'start', 0], [(inset.left + width - inset.right - long) / 2, 'middle', long / 2]];
  const isFree = ([from]) => !points.some((point) => point.x > from - 10 && point.x < from + long + 10 && point.y > y - 18 && point.y < y + 26);
  const [from, anchor, shift] = places.find(isFree) ?? places[0];
  return text(words, from, y, anchor, shift, 'bandName');
}

// Broken where there is no score.
function line(values, x, y) {
  let d = '', next = 'M';
  for (const { score, at } of values) {
    if (score.value === null) next = 'M';
    else {
      d += `${next}${x(at).toFixed(1)} ${y(score.value).toFixed(1)}`;
      next = 'L';
    }
  }
  return d;
}

function text(words, x, y, anchor, shift = 0, className = '') {
  return svg('text', { x: x + shift, y, 'text-anchor': anchor, class: className }, words);
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

onLanguage(() => { for (const container of open.keys()) render(container); });
