// One question on the screen, and all of them in a list with their answers.

import { $, h, fill } from './dom.js';
import { t } from './i18n.js';
import { pick } from './instruments.js';

/** Shows question n of a response. onAnswer is called with the value of each choice. */
export function showQuestion(record, n, onAnswer) {
  const { definition } = record;
  const item = definition.items[n - 1];
  const total = definition.items.length;
  const where = t('where', { n, total });
  $('where').textContent = where;
  $('fillProgress').max = total;
  $('fillProgress').value = n;
  const instruction = definition.languages.length ? pick(definition.instruction, record.language) : t('wordingNone');
  fill($('instruction'), instruction);
  inWording($('instruction'), record);
  inWording($('question'), record);
  $('questionText').replaceChildren(h('span', { className: 'hidden', textContent: `${where}. `, lang: document.documentElement.lang }), questionText(record, n));
  const choices = item.options.map(({ value, text }) => ({ value, text: pick(text, record.language) }));
  if (item.notAsked) choices.push({ value: 'not-asked', text: t('notAsked') });
  $('options').replaceChildren(...choices.map(({ value, text }) => {
    const input = h('input', { type: 'radio', name: 'answer', value: String(value), checked: record.answers[item.id] === value });
    input.addEventListener('change', () => onAnswer(value));
    const label = h('label', { className: 'option' }, input, h('span', { textContent: text || String(value) }));
    if (value === 'not-asked') label.lang = document.documentElement.lang;
    return label;
  }));
  $('copyright').replaceChildren(...definition.copyright.map((text) => h('p', { textContent: text })));
}

/** The words of question n in the language of the response, or where on paper it is. */
export function questionText(record, n) {
  const item = record.definition.items[n - 1];
  return pick(item.text, record.language) || t('itemOnPaper', { id: item.id });
}

/** All questions of a response with their answers, as list items. end makes what stands after question n. */
export function answersList(record, end = () => '') {
  return record.definition.items.map((item, i) => {
    const text = answerText(item, record.answers[item.id], record.language);
    const row = h('li', {},
      h('p', { className: 'asked', textContent: questionText(record, i + 1) }),
      h('p', { className: text ? 'given' : 'given none', textContent: text || t('noAnswer') }),
      end(i + 1));
    inWording(row.firstChild, record);
    if (text && record.answers[item.id] !== 'not-asked') inWording(row.children[1], record);
    return row;
  });
}

/** The words of an answer, or its value where there are none; '' if there is no answer. */
export function answerText(item, value, language) {
  if (value === undefined || value === null) return '';
  if (value === 'not-asked') return t('notAsked');
  const option = item.options.find((one) => one.value === value);
  return pick(option?.text, language) || String(value);
}

function inWording(node, record) {
  node.lang = record.definition.languages.length ? record.language : document.documentElement.lang;
}
