// Zoom, filters, hover texts and the details of single nodes. The page is whole without it.
// Texts of the archive become text nodes, never markup, and never attributes but of the page's own making.
'use strict';
(() => {
  const root = document.documentElement;
  root.classList.add('scripted');
  const byId = (id) => document.getElementById(id);
  const PAGE_ROWS = 100;
  const HOVER_PIXELS = 7;
  const ZOOM_MAX = 4000;
  const OPEN_LANES_MAX = 400;

  // ---- the embedded tables ----

  let store = null;
  function data() {
    if (store === null) {
      store = JSON.parse(byId('data').textContent);
      store.layout = {};
      for (const [table, columns] of Object.entries(store.columns)) {
        store.layout[table] = columns.map((column) => column.split(':'));
      }
    }
    return store;
  }
  function phrase(cell) {
    if (!Array.isArray(cell)) return cell === null ? null : data().strings[cell];
    const filling = cell.slice(1).map((number) => data().strings[number]);
    let next = 0;
    return data().strings[cell[0]].replace(/\u0000/g, () => filling[next++]);
  }
  function value(cell, kind, table) {
    switch (kind) {
      case 's': return cell === null ? null : data().strings[cell];
      case 'p': return phrase(cell);
      case 'S': return cell.map((number) => data().strings[number]);
      case 'r': return cell.map((row) => read(row, table));
      default: return cell;
    }
  }
  function read(row, table) {
    const object = {};
    data().layout[table].forEach(([name, kind, of], at) => { object[name] = value(row[at], kind, of); });
    return object;
  }
  const columnOf = (table, name) => data().layout[table].findIndex((column) => column[0] === name);
  const cellOf = (number, name) => data().nodes[number][columnOf('node', name)];
  const textOf = (number, name) => value(cellOf(number, name), 's');
  const node = (number) => read(data().nodes[number], 'node');
  const event = (number) => {
    const one = read(data().events[number], 'event');
    return Object.assign(one, read(data().callers[one.caller], 'caller'));
  };
  const finding = (number) => read(data().findings[number], 'finding');

  // ---- elements and words ----

  function element(tag, options, ...children) {
    const made = document.createElement(tag);
    for (const [name, text] of Object.entries(options || {})) made.setAttribute(name, text);
    for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) made.append(child);
    return made;
  }
  function clock(seconds, form) {
    if (seconds === null) return '-';
    const text = new Date((data().start + seconds) * 1000).toISOString();
    return form === 'clock' ? text.slice(11, 19) : text.slice(0, 19).replace('T', ' ');
  }
  function span(seconds) {
    const all = Math.abs(seconds);
    const two = (number) => String(number).padStart(2, '0');
    if (all < 60) return `${all}s`;
    if (all < 3600) return `${Math.floor(all / 60)}m${two(all % 60)}s`;
    if (all < 86400) return `${Math.floor(all / 3600)}h${two(Math.floor(all / 60) % 60)}m`;
    return `${Math.floor(all / 86400)}d${two(Math.floor(all / 3600) % 24)}h`;
  }
  const shortKey = (key) => {
    const id = key.slice(key.lastIndexOf('/') + 1);
    return id.length > 9 ? `${id.slice(0, id.startsWith('mrk-') ? 12 : 8)}\u2026` : id;
  };
  const nodes = (count) => `${count.toLocaleString('en-US')} ${count === 1 ? 'node' : 'nodes'}`;
  const mark = (outcome, text) => element('span', { class: `o-${outcome}` }, text);

  // ---- light and dark ----

  const themes = ['auto', 'dark', 'light'];
  byId('theme').addEventListener('click', () => {
    const next = themes[(themes.indexOf(root.dataset.theme || 'auto') + 1) % themes.length];
    if (next === 'auto') delete root.dataset.theme; else root.dataset.theme = next;
    byId('theme').textContent = `Theme: ${next}`;
  });

  // ---- copy ----

  document.addEventListener('click', async (click) => {
    const button = click.target.closest('button.copy');
    if (button === null) return;
    const text = button.dataset.copies || button.closest('.document').querySelector('code').textContent;
    const done = (word) => {
      button.textContent = word;
      setTimeout(() => { button.textContent = 'Copy'; }, 1600);
    };
    try {
      await navigator.clipboard.writeText(text);
      done('Copied');
    } catch {
      const source = button.dataset.copies ? button : button.closest('.document').querySelector('code');
      getSelection().selectAllChildren(source);
      done(document.execCommand('copy') ? 'Copied' : 'Selected');
    }
  });

  // ---- zoom and pan ----

  const scroller = byId('scroller');
  const plot = byId('plot');
  let zoom = 1;
  const trackWidth = () => byId('ticks').getBoundingClientRect().width;
  const labelWidth = () => plot.getBoundingClientRect().width - trackWidth();
  const STEPS = [1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000];
  const svg = (tag, options, text) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, content] of Object.entries(options)) made.setAttribute(name, content);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  function drawTicks() {
    const { start, end } = data();
    const all = end - start;
    const width = trackWidth();
    if (width === 0) return;
    const step = STEPS.find((seconds) => (seconds / all) * width >= 95) || STEPS[STEPS.length - 1];
    const from = start + all * ((scroller.scrollLeft - scroller.clientWidth) / width);
    const to = start + all * ((scroller.scrollLeft + 2 * scroller.clientWidth) / width);
    const texts = [];
    const lines = [];
    for (let at = Math.ceil(Math.max(from, start) / step) * step; at < Math.min(to, end); at += step) {
      const place = `${((at - start) / all) * 100}%`;
      const iso = new Date(at * 1000).toISOString();
      const isMidnight = at % 86400 === 0;
      const label = isMidnight ? iso.slice(0, 10) : step < 60 ? iso.slice(11, 19) : iso.slice(11, 16);
      if (((end - at) / all) * width > (isMidnight ? 70 : 42)) texts.push(svg('text', { x: place, y: 14 }, label));
      lines.push(svg('line', { class: 'grid-line', x1: place, x2: place, y1: 0, y2: '100%' }));
    }
    byId('ticks').replaceChildren(...texts);
    byId('grid').replaceChildren(...lines);
  }
  function setZoom(next, screenX) {
    const label = labelWidth();
    const anchor = screenX === undefined ? (scroller.clientWidth - label) / 2 : screenX - scroller.getBoundingClientRect().left - label;
    const share = (scroller.scrollLeft + anchor) / trackWidth();
    zoom = Math.min(Math.max(next, 1), ZOOM_MAX);
    plot.style.setProperty('--zoom', String(zoom));
    scroller.scrollLeft = share * trackWidth() - anchor;
    drawTicks();
    if (byId('in-view').checked) apply();
  }
  function showWindow(from, to) {
    const { start, end } = data();
    const margin = Math.max((to - from) * 0.15, 20);
    const wanted = to - from + 2 * margin;
    zoom = Math.min(Math.max((end - start) / wanted, 1), ZOOM_MAX);
    plot.style.setProperty('--zoom', String(zoom));
    scroller.scrollLeft = ((from - margin) / (end - start)) * trackWidth();
    drawTicks();
  }
  if (scroller !== null) {
    byId('zoom-in').addEventListener('click', () => setZoom(zoom * 2));
    byId('zoom-out').addEventListener('click', () => setZoom(zoom / 2));
    byId('zoom-fit').addEventListener('click', () => setZoom(1));
    scroller.addEventListener('wheel', (wheel) => {
      if (!wheel.ctrlKey && !wheel.metaKey) return;
      wheel.preventDefault();
      setZoom(zoom * Math.exp(-wheel.deltaY / 300), wheel.clientX);
    }, { passive: false });
    scroller.addEventListener('keydown', (key) => {
      if (key.ctrlKey || key.metaKey || key.altKey) return;
      if (key.key === '+' || key.key === '=') setZoom(zoom * 2);
      else if (key.key === '-') setZoom(zoom / 2);
      else if (key.key === '0') setZoom(1);
      else if ((key.key === 'ArrowDown' || key.key === 'ArrowUp') && document.activeElement.matches('.lane a')) {
        const lanes = [...plot.querySelectorAll('.pool[open] .lane:not([hidden]) a')];
        const next = lanes[lanes.indexOf(document.activeElement) + (key.key === 'ArrowDown' ? 1 : -1)];
        if (next !== undefined) next.focus();
      } else return;
      key.preventDefault();
    });
    let drawn = false;
    let settled = 0;
    let left = 0;
    const redraw = () => {
      if (drawn) return;
      drawn = true;
      requestAnimationFrame(() => { drawn = false; drawTicks(); });
      if (!byId('in-view').checked) return;
      clearTimeout(settled);
      settled = setTimeout(apply, 250);
    };
    scroller.addEventListener('scroll', () => {
      hideTip();
      if (scroller.scrollLeft === left) return;
      left = scroller.scrollLeft;
      redraw();
    }, { passive: true });
    new ResizeObserver(redraw).observe(scroller);
    let drag = null;
    scroller.addEventListener('pointerdown', (press) => {
      if (press.button !== 0 || press.pointerType === 'touch' || press.target.closest('a, summary') || press.target === scroller) return;
      drag = { x: press.clientX, y: press.clientY, left: scroller.scrollLeft, top: scroller.scrollTop };
    });
    addEventListener('pointermove', (move) => {
      if (drag === null) return;
      scroller.scrollLeft = drag.left - (move.clientX - drag.x);
      scroller.scrollTop = drag.top - (move.clientY - drag.y);
    });
    addEventListener('pointerup', () => { drag = null; });
  }

  // ---- what is under the pointer ----

  const tip = byId('tip');
  function hideTip() { tip.hidden = true; }
  function placeTip(x, y) {
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18}px`;
  }
  function tipOf(number, fraction, width) {
    const one = node(number);
    const all = data().end - data().start;
    const found = fraction === null ? [] : one.timeline
      .map((step) => ({ step, happened: event(step.event) }))
      .filter(({ happened }) => Math.abs(happened.time / all - fraction) * width <= HOVER_PIXELS);
    const lines = found.slice(0, 7).map(({ step, happened }) => element('p', step.inferred ? { class: 'inferred' } : {},
      element('time', {}, clock(happened.time, 'clock')), ` ${step.summary}${step.inferred ? ' (inferred)' : ''}`));
    if (found.length > 7) lines.push(element('p', {}, `and ${found.length - 7} more events here`));
    if (lines.length === 0) lines.push(element('p', {}, element('b', {}, one.instance_id), ` ${one.verdict} ${one.end}`));
    tip.replaceChildren(...lines);
  }
  function tipOfBar(histogram, x) {
    const box = histogram.getBoundingClientRect();
    const bars = histogram.viewBox.baseVal.width;
    const width = (data().end - data().start) / bars;
    const from = Math.floor(((x - box.left) / box.width) * bars) * width;
    const counts = new Map();
    for (const lane of histogram.closest('.pool').querySelectorAll('.lane:not([hidden])')) {
      const number = Number(lane.dataset.node);
      const at = cellOf(number, 'launched_at');
      const outcome = textOf(number, 'outcome');
      if (at !== null && at >= from && at < from + width) counts.set(outcome, (counts.get(outcome) || 0) + 1);
    }
    const label = (outcome) => document.querySelector(`.chip.o-${outcome}`).textContent.trim();
    const told = [...counts].map(([outcome, count]) => `${count} ${label(outcome)}`).join(', ');
    tip.replaceChildren(element('p', {}, element('time', {}, `${clock(Math.round(from), 'clock')} to ${clock(Math.round(from + width), 'clock')}`),
      told === '' ? ' no launch that made a node' : ` launched: ${told}`));
  }
  if (plot !== null) {
    plot.addEventListener('pointermove', (move) => {
      const histogram = move.target.closest('.histogram');
      if (histogram !== null) {
        tipOfBar(histogram, move.clientX);
        return placeTip(move.clientX, move.clientY);
      }
      const lane = move.target.closest('.lane');
      if (lane === null) return hideTip();
      const box = lane.querySelector('.track').getBoundingClientRect();
      const isOnTrack = move.target.closest('a') === null;
      tipOf(Number(lane.dataset.node), isOnTrack ? (move.clientX - box.left) / box.width : null, box.width);
      placeTip(move.clientX, move.clientY);
    });
    plot.addEventListener('pointerleave', hideTip);
    plot.addEventListener('focusin', (focus) => {
      const lane = focus.target.closest('.lane');
      if (lane === null || !focus.target.matches(':focus-visible')) return;
      tipOf(Number(lane.dataset.node), null, 0);
      const box = focus.target.getBoundingClientRect();
      placeTip(box.right, box.top);
    });
    plot.addEventListener('focusout', hideTip);
  }

  // ---- filter ----

  const lanes = new Map();
  for (const lane of document.querySelectorAll('.lane')) lanes.set(Number(lane.dataset.node), lane);
  let total = lanes.size;
  let shown = null;
  let incident = null;
  let page = 0;

  // For each node the numbers of all strings that it shows, so that a search looks at each string once.
  let references = null;
  function referencesOf() {
    if (references !== null) return references;
    const own = (row, table, into) => data().layout[table].forEach(([, kind, of], at) => {
      const cell = row[at];
      if (cell === null) return;
      if (kind === 's') into.push(cell);
      else if (kind === 'p') into.push(...(Array.isArray(cell) ? cell : [cell]));
      else if (kind === 'S') into.push(...cell);
      else if (kind === 'r') cell.forEach((inner) => own(inner, of, into));
    });
    const callers = data().callers.map((row) => { const into = []; own(row, 'caller', into); return into; });
    const caller = columnOf('event', 'caller');
    const events = data().events.map((row) => { const into = [...callers[row[caller]]]; own(row, 'event', into); return into; });
    const findings = data().findings.map((row) => {
      const rule = columnOf('finding', 'rule');
      return [row[rule], row[columnOf('finding', 'name')]];
    });
    const timeline = columnOf('node', 'timeline');
    const concerning = columnOf('node', 'findings');
    references = data().nodes.map((row) => {
      const into = [];
      own(row, 'node', into);
      row[timeline].forEach((step) => into.push(...events[step[0]]));
      row[concerning].forEach((number) => into.push(...findings[number]));
      return Uint32Array.from(new Set(into));
    });
    return references;
  }
  function search(term) {
    const hits = new Uint8Array(data().strings.length);
    let found = false;
    data().strings.forEach((text, number) => {
      if (text.toLowerCase().includes(term)) { hits[number] = 1; found = true; }
    });
    return found ? (number) => referencesOf()[number].some((text) => hits[text] === 1) : () => false;
  }
  /** From when to when the lanes show, if only that counts. */
  function inView() {
    const width = trackWidth();
    if (!byId('in-view').checked || width === 0) return [-Infinity, Infinity];
    const all = data().end - data().start;
    const seen = scroller.clientWidth - labelWidth();
    return [(scroller.scrollLeft / width) * all, ((scroller.scrollLeft + seen) / width) * all];
  }
  function apply() {
    const terms = byId('find').value.toLowerCase().split(/\s+/).filter((term) => term !== '').map(search);
    const boxes = [...document.querySelectorAll('input[name="outcome"]')];
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const isAll = terms.length === 0 && wanted.size === boxes.length && incident === null && !byId('in-view').checked;
    const seen = inView();
    const members = incident === null ? null : new Set(data().incidents[incident]);
    const lives = (number) => (cellOf(number, 'launched_at') ?? -Infinity) <= seen[1] && (cellOf(number, 'ended_at') ?? Infinity) >= seen[0];
    const matches = (number) => lives(number) && (members === null || members.has(number)) &&
      wanted.has(textOf(number, 'outcome')) && terms.every((term) => term(number));
    total = data().nodes.length;
    shown = isAll ? null : data().nodes.map((_, number) => number).filter(matches);
    const kept = shown === null ? null : new Set(shown);
    for (const [number, lane] of lanes) lane.hidden = kept !== null && !kept.has(number);
    for (const pool of document.querySelectorAll('.pool')) {
      const left = pool.querySelectorAll('.lane:not([hidden])').length;
      pool.hidden = kept !== null && left === 0;
      for (const chunk of pool.querySelectorAll('.chunk')) chunk.hidden = kept !== null && chunk.querySelector('.lane:not([hidden])') === null;
      if (kept !== null && left > 0 && shown.length <= OPEN_LANES_MAX) pool.open = true;
    }
    byId('count').textContent = shown === null ? nodes(total) : `${shown.length.toLocaleString('en-US')} of ${nodes(total)}`;
    byId('clear').hidden = isAll;
    page = 0;
    drawRows();
  }
  function clearFilter() {
    byId('find').value = '';
    for (const box of document.querySelectorAll('input[name="outcome"]')) box.checked = true;
    byId('in-view').checked = false;
    incident = null;
    apply();
  }
  if (plot !== null) {
    let timer = 0;
    byId('find').addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(apply, 120); });
    byId('filters').addEventListener('submit', (submit) => { submit.preventDefault(); apply(); });
    byId('filters').addEventListener('change', apply);
    byId('clear').addEventListener('click', clearFilter);
    const pools = [...document.querySelectorAll('.pool')];
    const fold = byId('fold');
    const nameFold = () => { fold.textContent = pools.some((pool) => !pool.open) ? 'Open all nodepools' : 'Close all nodepools'; };
    fold.hidden = pools.length < 2;
    fold.addEventListener('click', () => {
      const open = pools.some((pool) => !pool.open);
      for (const pool of pools) pool.open = open;
    });
    for (const pool of pools) pool.addEventListener('toggle', nameFold);
    nameFold();
    addEventListener('keydown', (key) => {
      if (key.key === '/' && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) { key.preventDefault(); byId('find').focus(); }
    });
    document.addEventListener('click', (click) => {
      const button = click.target.closest('.show-incident');
      if (button === null) return;
      byId('find').value = '';
      incident = Number(button.dataset.incident);
      apply();
      if (button.dataset.from !== undefined) showWindow(Number(button.dataset.from), Number(button.dataset.to));
      byId('timeline').scrollIntoView();
      scroller.focus({ preventScroll: true });
    });
  }

  // ---- the table of nodes ----

  function usedKeys(one) {
    const keys = one.volumes.filter((volume) => volume.role === 'launch' && volume.key_arn !== null)
      .map((volume) => `${shortKey(volume.key_arn)}${volume.outcome === 'used' ? '' : ' refused'}`);
    return [...new Set(keys)].slice(0, 3).join(', ') || '-';
  }
  function rowOf(number) {
    const one = node(number);
    const lived = one.launched_at === null || one.ended_at === null ? '-' : span(one.ended_at - one.launched_at);
    const cause = one.cause === null ? '-' : `${one.cause}${one.cause_confidence === 'inferred' ? ' (inferred)' : ''}`;
    return element('tr', { id: `node-${number}`, class: `o-${one.outcome}` },
      element('th', { scope: 'row' }, element('a', { href: `#node-${number}` }, one.instance_id)),
      element('td', {}, one.nodepool || '-'),
      element('td', {}, one.launched_at === null ? 'before the archive' : clock(one.launched_at)),
      element('td', {}, lived),
      element('td', {}, one.expected_key || (one.expected.length === 0 ? 'not known' : 'by device')),
      element('td', {}, usedKeys(one)),
      element('td', {}, mark(one.outcome, one.key_verdict)),
      element('td', {}, cause));
  }
  function drawRows() {
    const count = shown === null ? data().nodes.length : shown.length;
    const first = page * PAGE_ROWS;
    const rows = [];
    for (let at = first; at < Math.min(first + PAGE_ROWS, count); at += 1) rows.push(rowOf(shown === null ? at : shown[at]));
    byId('rows').replaceChildren(...rows);
    byId('page').textContent = count === 0 ? 'no node' : `${first + 1} to ${Math.min(first + PAGE_ROWS, count)} of ${nodes(count)}`;
    byId('earlier').disabled = page === 0;
    byId('later').disabled = first + PAGE_ROWS >= count;
  }
  byId('earlier').addEventListener('click', () => { page -= 1; drawRows(); });
  byId('later').addEventListener('click', () => { page += 1; drawRows(); });

  // ---- one node ----

  const detail = byId('detail');
  function factsOf(one) {
    const join = (...texts) => texts.filter((text) => text !== null && text !== '').join(', ');
    const facts = [
      ['Node', join(one.node_name, one.nodeclaim === null ? null : `NodeClaim ${one.nodeclaim}`)],
      ['Nodepool', join(one.nodepool, one.nodeclass === null ? null : `node class ${one.nodeclass}`, one.cluster === null ? null : `cluster ${one.cluster}`)],
      ['Account', join(one.account_id, one.availability_zone || one.region)],
      ['Instance', join(one.instance_type, one.capacity_type, one.image_id)],
      ['Template', join(one.launch_template, one.fleet_id)],
      ['Launched', join(one.launched_at === null ? 'not in the archive' : `${clock(one.launched_at)} UTC`, one.principal_arn === null ? null : `by ${one.principal_arn}`, one.launched_by)],
      ['Ended', one.ended_at === null ? 'not in the archive' : join(`${clock(one.ended_at)} UTC`,
        one.launched_at === null ? null : `lived ${span(one.ended_at - one.launched_at)}`,
        one.cause === null ? null : `${one.cause} (${one.cause_confidence})`)],
    ];
    return element('dl', { class: 'facts' }, facts.filter(([, text]) => text !== '').map(([label, text]) => [element('dt', {}, label), element('dd', {}, text)]));
  }
  function head(...labels) {
    return element('thead', {}, element('tr', {}, labels.map((label) => element('th', { scope: 'col' }, label))));
  }
  const cite = (steps) => steps.length === 0 ? null : element('span', { class: 'cite' }, ` ${steps.map((step) => `[${step}]`).join(' ')}`);
  const wide = (table) => element('div', { class: 'wide' }, table);
  function keysOf(one) {
    const expected = one.expected.map((key) => element('tr', {},
      element('td', {}, 'configured'), element('td', {}, key.device || 'all devices'),
      element('td', {}, element('code', {}, key.written || 'no key named'), key.key_arn !== null && key.key_arn !== key.written ? [' = ', element('code', {}, key.key_arn)] : null),
      element('td', {}, `named by ${key.source}`, cite(key.steps))));
    const volumes = one.volumes.map((volume) => element('tr', {},
      element('td', {}, volume.outcome === 'used' ? 'used' : mark('refused', volume.outcome)), element('td', {}, volume.volume_id || 'volume not logged'),
      element('td', {}, element('code', {}, volume.key_arn || 'not logged')),
      element('td', {}, `${volume.origin}${volume.role === 'attached-later' ? ', attached later' : ''}; `,
        element('span', volume.inferred ? { class: 'confidence inferred' } : {}, volume.inferred ? 'inferred' : 'observed'), cite(volume.steps))));
    if (expected.length + volumes.length === 0) return element('p', { class: 'soft' }, 'The archive shows no key of it.');
    const more = one.volumes_left_out > 0 ? element('p', { class: 'more' }, `${one.volumes_left_out} more volumes are in the JSON and CSV outputs.`) : null;
    return [wide(element('table', {}, head('Key is', 'Volume or device', 'Key', 'Where from'), element('tbody', {}, expected, volumes))), more];
  }
  function stepsOf(one) {
    const rows = one.timeline.map((step, at) => {
      const happened = event(step.event);
      const since = one.launched_at === null ? '' : `${happened.time < one.launched_at ? '-' : '+'}${span(happened.time - one.launched_at)}`;
      const isDecisive = ['refusal', 'launch', 'end'].includes(step.role) || step.change !== null;
      const by = [happened.actor, happened.session === null ? null : `session ${happened.session}`, happened.address === '' ? null : `from ${happened.address}`, happened.agent === '' ? null : `with ${happened.agent}`];
      return [
        element('tr', { class: `${isDecisive ? 'decisive ' : ''}${step.role}` },
          element('td', {}, element('span', { class: 'cite' }, `[${at + 1}] `), clock(happened.time)), element('td', { class: 'since' }, since), element('td', {}, happened.name),
          element('td', {}, step.change === null ? null : element('span', { class: 'changed' }, `configuration change: ${step.change} `), step.summary, step.inferred ? [' ', element('span', { class: 'confidence inferred' }, 'inferred')] : null)),
        element('tr', { class: 'more-of' }, element('td', { colspan: '4' }, element('code', {}, happened.id),
            ` ${by.filter((text) => text !== null).join(', ')}; read from ${happened.object} record ${happened.record}`,
            happened.error === null ? null : [element('br', {}), happened.error])),
      ];
    });
    const more = one.steps_left_out > 0 ? element('p', { class: 'more' }, `${one.steps_left_out} more events are in the JSON and CSV outputs.`) : null;
    return [wide(element('table', { class: 'steps' }, head('Time (UTC)', 'Launch +', 'Event', 'What happened'), element('tbody', {}, rows))), more];
  }
  // What stands between backticks is code; without a partner a backtick stays one.
  const prose = (text) => {
    const parts = text.split('`');
    return parts.map((part, at) => at % 2 === 0 ? part : at + 1 < parts.length ? element('code', {}, part) : `\`${part}`);
  };
  const list = (title, texts) => texts.length === 0 ? [] : [element('h4', {}, title), element('ul', {}, texts.map((text) => element('li', {}, prose(text))))];
  const copyButton = (text) => {
    const button = element('button', { type: 'button', class: 'copy' }, 'Copy');
    if (text !== undefined) button.dataset.copies = text;
    return button;
  };
  function findingOf(number, isOpen) {
    const one = finding(number);
    const cited = one.evidence.map((place) => event(place)).map((happened) => element('tr', {},
      element('td', {}, clock(happened.time)), element('td', {}, happened.name), element('td', {}, element('code', {}, happened.id)),
      element('td', { class: 'origin' }, `${happened.object} record ${happened.record}`)));
    const remedy = one.remedy === null ? null : read(data().remedies[one.remedy], 'remedy');
    const fix = remedy === null ? [] : [element('h4', {}, 'Fix'), element('p', {}, prose(remedy.summary)), element('p', { class: 'soft' }, `To be changed: ${remedy.target}`),
      remedy.documents.map((text) => element('div', { class: 'document' }, element('p', {}, element('span', {}, text.format), copyButton()), element('pre', { tabindex: '0' }, element('code', {}, text.body))))];
    const about = one.subject_kind === 'node' ? null : element('p', { class: 'soft' }, `About ${one.subject_kind} ${one.subject}`);
    return element('details', isOpen ? { class: `finding s-${one.severity}`, open: '' } : { class: `finding s-${one.severity}` },
      element('summary', {}, element('span', { class: `severity s-${one.severity}` }, one.severity), element('span', { class: 'rule' }, one.rule),
        element('span', { class: 'finding-title' }, one.title), element('span', { class: `confidence ${one.confidence}` }, one.confidence)),
      element('div', { class: 'body' }, about, element('p', {}, prose(one.explanation)), list('Ruled out', one.ruled_out), list('Not in the archive', one.missing), fix,
        element('h4', {}, 'Evidence'), wide(element('table', { class: 'evidence' }, head('Time (UTC)', 'Event', 'Event id', 'Read from'), element('tbody', {}, cited)))));
  }
  function openNode(number) {
    if (!(number >= 0 && number < data().nodes.length)) return;
    const one = node(number);
    const close = element('button', { type: 'button', 'aria-label': 'Close' }, 'Close');
    close.addEventListener('click', () => detail.close());
    const title = element('h2', { id: 'detail-title', tabindex: '-1' }, one.instance_id);
    const findings = one.findings.map((place, at) => findingOf(place, at === (one.recommended ?? 0)));
    detail.replaceChildren(
      element('div', { class: 'detail-head' }, title, copyButton(one.instance_id), close),
      element('div', { class: 'detail' },
        element('p', { class: `answer o-${one.outcome}` }, element('span', {}, one.verdict), element('span', {}, one.end)), factsOf(one),
        element('h3', {}, 'Keys'), keysOf(one), element('h3', {}, 'What happened'), stepsOf(one),
        element('h3', {}, 'Findings'), findings.length === 0 ? element('p', { class: 'soft' }, 'No rule concludes anything about it.') : findings));
    hideTip();
    if (!detail.open) detail.showModal();
    title.focus();
    detail.scrollTop = 0;
  }
  function follow() {
    const found = /^#node-(\d+)$/.exec(location.hash);
    if (found !== null) openNode(Number(found[1]));
    else if (detail.open) detail.close();
    const wanted = /^#finding-\d+$/.test(location.hash) ? byId(location.hash.slice(1)) : null;
    if (wanted !== null) { wanted.open = true; wanted.scrollIntoView(); }
  }
  addEventListener('hashchange', follow);
  document.addEventListener('click', (click) => {
    const link = click.target.closest('a[href^="#node-"], a[href^="#finding-"]');
    // The same place again is no change of the address.
    if (link !== null && link.getAttribute('href') === location.hash) follow();
  });
  detail.addEventListener('click', (click) => { if (click.target === detail) detail.close(); });
  detail.addEventListener('close', () => {
    if (/^#node-/.test(location.hash)) history.replaceState(null, '', '#nodes');
  });

  // ---- print ----

  let closed = [];
  addEventListener('beforeprint', () => {
    closed = [...document.querySelectorAll('details.finding:not([open]), #flow details:not([open]), .more-incidents:not([open])')];
    for (const one of closed) one.open = true;
  });
  addEventListener('afterprint', () => { for (const one of closed) one.open = false; });

  // The first picture comes first.
  const whenIdle = window.requestIdleCallback || ((work) => setTimeout(work, 50));
  whenIdle(() => {
    drawRows();
    if (plot !== null) drawTicks();
    follow();
    root.classList.add('ready');
  });
})();
