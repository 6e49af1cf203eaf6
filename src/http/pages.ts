/** The two pages of the server: where things are, and the contract with a form to try it. Nothing is loaded from elsewhere. */
import { createHash } from 'node:crypto';
import type { Definitions } from '../core/define/types.js';

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const STYLE = `
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5c6675;--line:#d9dee6;--paper:#fff;--tint:#f4f6f9;--accent:#0b63c5;--good:#18794e;--bad:#c4321f}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b4;--line:#2e3642;--paper:#12161c;--tint:#1a2029;--accent:#6cb2ff;--good:#55c593;--bad:#ff8a75}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:2rem 1.25rem 4rem;font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.05rem;margin:2.2rem 0 .6rem;text-transform:capitalize}
p{margin:.3rem 0;color:var(--soft)}a{color:var(--accent)}
code,pre,textarea,input{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,monospace}
ul{padding-left:1.1rem}li{margin:.25rem 0}
details{border:1px solid var(--line);border-radius:8px;margin:.5rem 0;background:var(--paper)}
summary{cursor:pointer;padding:.55rem .8rem;display:flex;gap:.7rem;align-items:baseline;flex-wrap:wrap}
summary:focus-visible,button:focus-visible,textarea:focus-visible,input:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.method{font:600 12px ui-monospace,monospace;color:var(--accent);min-width:2.6rem;text-transform:uppercase}
.note{color:var(--soft);font-size:.9rem}.body{padding:0 .8rem .8rem}
textarea{width:100%;min-height:9rem}textarea,input{padding:.5rem;border:1px solid var(--line);border-radius:6px;background:var(--tint);color:var(--ink)}
label{display:block;font-size:.85rem;color:var(--soft);margin:.6rem 0 .2rem}
button{margin-top:.6rem;padding:.4rem 1rem;border:0;border-radius:6px;background:var(--accent);color:var(--paper);font:inherit;cursor:pointer}
pre{overflow:auto;background:var(--tint);border-radius:6px;padding:.7rem;max-height:26rem;margin:.6rem 0 0}
.ok{color:var(--good)}.fail{color:var(--bad)}table{border-collapse:collapse;font-size:.9rem}td,th{text-align:left;padding:.2rem .9rem .2rem 0;vertical-align:top}
`;

const SCRIPT = `
const el=(tag,props,...children)=>{const node=Object.assign(document.createElement(tag),props);node.append(...children);return node};
const main=document.getElementById('contract');
const resolve=(doc,schema)=>schema&&schema.$ref?resolve(doc,schema.$ref.slice(2).split('/').reduce((o,k)=>o[k],doc)):schema;
const sample=(doc,schema,depth=0)=>{const s=resolve(doc,schema);if(!s||depth>6)return null;if(s.example!==undefined)return s.example;if(s.const!==undefined)return s.const;if(s.enum)return s.enum[0];
if(s.oneOf)return sample(doc,s.oneOf[0],depth+1);if(s.allOf)return Object.assign({},...s.allOf.map(x=>sample(doc,x,depth+1)));
const t=Array.isArray(s.type)?s.type[0]:s.type;if(t==='object')return Object.fromEntries(Object.entries(s.properties||{}).map(([k,v])=>[k,sample(doc,v,depth+1)]));
if(t==='array')return s.items?[sample(doc,s.items,depth+1)]:[];if(t==='string')return s.format==='date-time'?'2024-03-01T12:00:00Z':'text';if(t==='boolean')return true;if(t==='integer'||t==='number')return 1;return null};
const fields=(doc,schema)=>{const s=resolve(doc,schema);const items=s&&(s.type==='array'?resolve(doc,s.items):s);const props=items&&items.properties;if(!props)return null;
const rows=Object.entries(props).map(([name,raw])=>{const p=resolve(doc,raw);const type=[].concat(p.type||'').filter(x=>x!=='null').join(' | ');return el('tr',{},el('td',{},el('code',{textContent:name})),el('td',{textContent:p.format||type}),el('td',{className:'note',textContent:p.description||''}))});
return el('table',{},el('tbody',{},...rows))};
const panel=(doc,path,method,op)=>{
const media=op.requestBody&&op.requestBody.content['application/json'];
const output=el('pre',{hidden:true,tabIndex:0});
const inputs=(op.parameters||[]).map(p=>({name:p.name,input:el('input',{placeholder:p.name,ariaLabel:p.name}),about:p.description}));
const text=media&&el('textarea',{value:JSON.stringify(sample(doc,media.schema),null,2),spellcheck:false,ariaLabel:'request body'});
const send=el('button',{type:'button',textContent:'Send'});
send.onclick=async()=>{send.disabled=true;output.hidden=false;output.textContent='…';const url=inputs.reduce((u,i)=>u.replace('{'+i.name+'}',encodeURIComponent(i.input.value)),path);
const started=performance.now();try{const r=await fetch(url,{method:method.toUpperCase(),...(text?{headers:{'content-type':'application/json'},body:text.value}:{})});const raw=await r.text();const ms=(performance.now()-started).toFixed(1);
let shown=raw;try{shown=JSON.stringify(JSON.parse(raw),null,2)}catch{}output.replaceChildren(el('span',{className:r.ok?'ok':'fail',textContent:r.status+' in '+ms+' ms\\n'}),shown)}catch(e){output.replaceChildren(el('span',{className:'fail',textContent:String(e)}))}send.disabled=false};
const answers=Object.entries(op.responses).map(([code,r])=>el('li',{},el('code',{textContent:code}),' '+(r.description||'')));
const body=el('div',{className:'body'});if(op.description)body.append(el('p',{textContent:op.description}));
const table=media&&fields(doc,media.schema);if(table)body.append(table);
for(const i of inputs)body.append(el('label',{textContent:i.about||i.name}),i.input);
if(text)body.append(el('label',{textContent:'Body'}),text);
body.append(send,output,el('label',{textContent:'Answers'}),el('ul',{className:'note'},...answers));
return el('details',{},el('summary',{},el('span',{className:'method',textContent:method}),el('code',{textContent:path}),el('span',{className:'note',textContent:op.summary||''})),body)};
fetch('/openapi.json').then(r=>r.json()).then(doc=>{const tags=new Map();
for(const [path,methods] of Object.entries(doc.paths))for(const [method,op] of Object.entries(methods)){const tag=(op.tags||['other'])[0];if(!tags.has(tag))tags.set(tag,[]);tags.get(tag).push(panel(doc,path,method,op))}
main.replaceChildren(...[...tags].flatMap(([tag,panels])=>[el('h2',{textContent:tag}),...panels]))}).catch(e=>{main.textContent='The contract could not be read: '+e});
`;

const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; style-src ${hash(STYLE)}; script-src ${hash(SCRIPT)}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};

const page = (title: string, body: string): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body>${body}</body></html>`;

export const docsPage = (definitions: Definitions): string =>
  page(
    `${definitions.settings.project}: HTTP API`,
    `<header><h1>${escapeHtml(definitions.settings.project)}</h1><p>The contract of this server, from its definitions. <a href="/">Overview</a> · <a href="/openapi.json">openapi.json</a></p></header><main id="contract" aria-live="polite">Reading the contract…</main><script>${SCRIPT}</script>`,
  );

export function landingPage(definitions: Definitions, version: string): string {
  const list = (items: readonly string[]): string =>
    items.length > 0
      ? `<ul>${items.map((item) => `<li>${item}</li>`).join('')}</ul>`
      : '<p>None defined.</p>';
  const about = (text: string | undefined): string =>
    text ? ` <span class="note">${escapeHtml(text)}</span>` : '';
  const route = (method: string, path: string, note: string | undefined): string =>
    `<code>${method} ${escapeHtml(path)}</code>${about(note)}`;
  const services = [...definitions.services.values()].map((item) =>
    route('POST', `/v1/services/${item.name}/predict`, item.description),
  );
  const sets = [...definitions.featureSets.values()].map((item) =>
    route('POST', `/v1/features/${item.name}`, item.description ?? `${item.features.length} features`),
  );
  const sources = [...definitions.sources.values()]
    .filter((item) => item.read.kind !== 'transform')
    .map((item) => route('POST', `/v1/sources/${item.name}/records`, item.description));
  const links = [
    ['/docs', 'the contract, with a form to try it'],
    ['/openapi.json', 'the contract for tools'],
    ['/v1/status', 'sources, models, monitors'],
    ['/readyz', 'ready, or what is missing'],
    ['/metrics', 'for Prometheus'],
  ] as const;
  return page(
    `${definitions.settings.project} on millrace`,
    `<header><h1>${escapeHtml(definitions.settings.project)}</h1><p>Served by millrace ${escapeHtml(version)}.</p></header><main><h2>Predictions</h2>${list(services)}<h2>Features</h2>${list(sets)}<h2>Records</h2>${list(sources)}<h2>More</h2>${list(links.map(([href, text]) => `<a href="${href}">${href}</a> <span class="note">${text}</span>`))}</main>`,
  );
}
