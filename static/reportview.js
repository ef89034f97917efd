// The sheet of a stored report: its head, what a reader must know about it, and
// its images.

import { $, h, fill } from './dom.js';
import { t, size, time, onLanguage } from './i18n.js';

let current = null, pictures = [];

/** Shows the server's answer about a report; own pictures stand in until the images are ready. */
export function showReport(report, own = []) {
  current = report;
  pictures = own;
  render();
}

function render() {
  $('shownPatient').textContent = current?.patientId || '–';
  $('shownVisit').textContent = current?.visitId || '–';
  fill($('shownNotes'), current?.notes ?? '');
  $('notesCell').hidden = $('shownNotes').hidden;
  $('shownTime').textContent = time(current?.createdAt, { dateStyle: 'medium', timeStyle: 'short' });
  renderProblems();
  const n = current?.images?.length ?? pictures.length;
  $('frames').replaceChildren(...Array.from({ length: n }, (_, i) => frame(i)));
}

function renderProblems() {
  const problems = current?.problems ?? [];
  $('problems').hidden = !problems.length;
  $('problems').replaceChildren(...problems.map((problem) => h('li', {},
    h('b', { textContent: problem.image ? t('problemOf', problem) : t('problemWhole') }), ' ',
    t(problem.code) ?? problem.detail)));
}

function frame(i) {
  const n = i + 1;
  const image = current?.images?.[i];
  const problem = current?.problems?.some((p) => p.image === n);
  const inner = h('div', { className: 'frame' }, image?.thumbUrl ? link(image, n) : pictures[i] ?? h('span', { className: 'picture' }));
  if (problem && !image?.thumbUrl && !pictures[i]) inner.append(h('span', { className: 'blank', textContent: t('noPreview') }));
  const caption = h('p', { className: 'caption' }, h('b', { textContent: String(n) }), image ? ` ${image.name ?? size(image.bytes)}` : '');
  return h('li', { className: `tile${problem ? ' wrong' : ''}` }, inner, caption);
}

function link({ url, thumbUrl }, n) {
  const image = h('img', { src: thumbUrl, alt: t('frameName', { n }), loading: 'lazy' });
  return h('a', { className: 'picture', href: url, target: '_blank', rel: 'noopener' }, image);
}

onLanguage(render);
