'use strict';
(() => {
  const html = document.documentElement;
  const api = html.dataset.api;
  const $ = (selector) => document.querySelector(selector);
  const typing = () => /^(INPUT|TEXTAREA|SELECT)$/.test((document.activeElement || {}).tagName || '');

  const say = (state, word) => {
    const live = $('#live');
    if (!live) return;
    live.hidden = false;
    live.dataset.state = state;
    live.textContent = word;
  };

  // One stream per page, and only while the page is visible.
  let source = null;
  const follow = (path, take) => {
    const open = () => {
      if (source || document.hidden) return;
      source = new EventSource(api + path);
      source.onopen = () => say('live', 'live');
      source.onerror = () => say('offline', 'connection lost, trying again');
      source.onmessage = take;
    };
    document.addEventListener('visibilitychange', () => {
      if (document.hidden && source) { source.close(); source = null; } else open();
    });
    addEventListener('pagehide', () => { if (source) source.close(); source = null; });
    addEventListener('pageshow', open);
    open();
  };

  // Shows the page as it is now: the server renders, the parts that changed are put in place.
  let renewing = false, next = null;
  const renew = async (typed) => {
    if (document.hidden || (typing() && !typed)) return;
    if (renewing) { next = typed || next; return; }
    renewing = true;
    try {
      const answer = await fetch(typed || location.href, { headers: { accept: 'text/html' } });
      // What was typed in full leads to a page of its own, on Enter.
      if (typed && (answer.redirected || !answer.ok)) return;
      if (typed) history.replaceState(null, '', typed);
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const part of document.querySelectorAll('[data-live]')) {
        const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
        if (!other || other.innerHTML === part.innerHTML) continue;
        const open = [...part.querySelectorAll('details[open][id]')].map((one) => one.id);
        const focus = part.contains(document.activeElement) && document.activeElement.id;
        part.replaceChildren(...other.childNodes);
        Object.assign(part.dataset, other.dataset);
        for (const id of open) { const one = document.getElementById(id); if (one) one.open = true; }
        if (focus) { const one = document.getElementById(focus); if (one) one.focus(); }
      }
      decorate();
      say('live', 'live');
    } catch (_) {
      say('offline', 'connection lost, trying again');
    } finally {
      renewing = false;
      if (next) { const typed = next; next = null; renew(typed); }
    }
  };

  const local = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });
  const decorate = () => {
    for (const time of document.querySelectorAll('time:not([title])')) {
      const at = new Date(time.dateTime);
      if (!isNaN(at)) time.title = `${local.format(at)} (${time.dateTime})`;
    }
    if (!navigator.clipboard) return;
    for (const block of document.querySelectorAll('.command')) {
      if (block.querySelector('button')) continue;
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = 'Copy';
      button.addEventListener('click', async () => {
        await navigator.clipboard.writeText(block.querySelector('code').textContent);
        button.textContent = 'Copied';
        setTimeout(() => { button.textContent = 'Copy'; }, 1500);
      });
      block.append(button);
    }
  };
  decorate();

  const news = $('#news[data-topic]');
  if (news) {
    let seen = 0;
    follow(`events?topic=${news.dataset.topic}&from=latest`, () => {
      seen += 1;
      const link = document.createElement('a');
      link.href = location.href;
      link.textContent = seen === 1 ? '1 new order – show' : `${seen} new orders – show`;
      const place = $('#news');
      if (!place) return;
      place.replaceChildren(link);
      place.hidden = false;
    });
  }
  const tail = $('[data-tail]');
  if (tail) {
    const pause = $('#pause');
    let paused = false;
    if (pause) {
      pause.hidden = false;
      pause.addEventListener('click', () => {
        paused = !paused;
        pause.textContent = paused ? 'Go on' : 'Pause';
        pause.setAttribute('aria-pressed', String(paused));
        if (!paused) renew();
      });
    }
    let timer = 0;
    follow(tail.dataset.tail, () => {
      if (paused || timer) return;
      timer = setTimeout(() => { timer = 0; renew(); }, 400);
    });
  }
  const form = $('form[data-typed]');
  if (form) {
    let timer = 0;
    form.addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const url = new URL(form.action);
        for (const [name, value] of new FormData(form)) if (value.trim()) url.searchParams.append(name, value);
        renew(url.href);
      }, 200);
    });
  }
  const every = $('[data-every]');
  if (every) {
    let wait = 0;
    const again = async () => {
      await renew();
      const seconds = Number((document.querySelector('[data-every]') || {}).dataset?.every || 0);
      if (seconds > 0) wait = setTimeout(again, seconds * 1000);
    };
    const first = Number(every.dataset.every);
    if (first > 0) wait = setTimeout(again, first * 1000);
    addEventListener('pagehide', () => clearTimeout(wait));
  }

  const palette = $('#palette');
  const box = palette && palette.querySelector('input');
  const word = (one) => (one.firstChild ? one.firstChild.textContent : '').trim();
  // Links lead there at once; an action is only brought into focus, so that nothing happens by mistake.
  const targets = () => [...document.querySelectorAll('.top nav a, .views a, main button, main a.button')]
    .filter((one) => one.checkVisibility() && word(one))
    .map((one) => [word(one), one.matches('a') ? () => one.click() : () => one.focus()]);
  const offer = () => {
    const text = box.value.trim();
    const words = text.toLowerCase().split(/\s+/);
    const offered = targets().filter(([name]) => words.every((one) => name.toLowerCase().includes(one)));
    const { search } = box.dataset;
    if (text && search) offered.push([`Search orders for “${text}”`, () => { location.href = `${search}?q=${encodeURIComponent(text)}`; }]);
    palette.querySelector('ul').replaceChildren(...offered.map(([name, go]) => {
      const item = document.createElement('li'), button = document.createElement('button');
      button.type = 'button';
      button.textContent = name;
      button.addEventListener('click', () => { palette.close(); go(); });
      item.append(button);
      return item;
    }));
  };
  if (palette) {
    box.addEventListener('input', offer);
    palette.addEventListener('keydown', (event) => {
      const stops = [box, ...palette.querySelectorAll('li button')];
      const at = stops.indexOf(document.activeElement);
      const next = { ArrowDown: at + 1, ArrowUp: at - 1 }[event.key];
      if (next !== undefined) { event.preventDefault(); stops[(next + stops.length) % stops.length].focus(); }
      if (event.key === 'Enter' && at === 0 && stops[1]) { event.preventDefault(); stops[1].click(); }
    });
  }

  let row = -1, went = -Infinity;
  document.addEventListener('keydown', (event) => {
    if (palette && (event.ctrlKey || event.metaKey) && event.key === 'k') {
      event.preventDefault();
      box.value = '';
      if (!palette.open) palette.showModal();
      offer();
      box.focus();
      return;
    }
    if (palette && palette.open) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape' && typing()) { document.activeElement.blur(); return; }
    if (typing()) return;
    if (event.timeStamp - went < 1200) {
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      went = -Infinity;
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    const rows = [...document.querySelectorAll('.list tbody tr')];
    const move = (by) => {
      if (!rows.length) return;
      rows.forEach((one) => one.classList.remove('at'));
      row = Math.min(rows.length - 1, Math.max(0, row + by));
      rows[row].classList.add('at');
      rows[row].scrollIntoView({ block: 'nearest' });
      const link = rows[row].querySelector('a');
      if (link) link.focus({ preventScroll: true });
    };
    switch (event.key) {
      case '/': { const box = $('input[type="search"]'); if (box) { event.preventDefault(); box.focus(); box.select(); } break; }
      case 'g': went = event.timeStamp; break;
      case 'j': move(1); break;
      case 'k': move(-1); break;
      case 'c': { const id = $('[data-copy]'); if (id && navigator.clipboard) navigator.clipboard.writeText(id.dataset.copy); break; }
      case '?': { const keys = $('.keys'); if (keys) keys.scrollIntoView(); break; }
      default:
    }
  });
})();
