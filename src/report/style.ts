/** The one style sheet: two themes by variables, no external font, no script. */
export const STYLE = `
:root{color-scheme:light dark;--bg:#f6f7f9;--panel:#fff;--ink:#16202c;--muted:#5c6b7c;--faint:#e3e8ee;--line:#cfd7e0;
--c1:#2563a8;--c2:#d2691e;--c3:#3f8f6b;--c4:#8a5fb5;--soft:#9dbfe3;--idle:#d5dce4;--good:#1c7a4d;--goodbg:#e3f4ea;--bad:#b3261e;--badbg:#fce8e6;--warn:#8a5a00;--warnbg:#fdf1d8}
@media(prefers-color-scheme:dark){:root{--bg:#10151b;--panel:#181f28;--ink:#e6ebf1;--muted:#97a5b5;--faint:#273140;--line:#3a4757;
--c1:#69aaf0;--c2:#f0a05a;--c3:#67c79b;--c4:#bb98e6;--soft:#35597f;--idle:#3a4757;--good:#6fd19e;--goodbg:#143527;--bad:#ff9d94;--badbg:#43211f;--warn:#f2c76b;--warnbg:#3b2e12}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:break-word}
.page{max-width:1180px;margin:0 auto;padding:0 20px 48px}
header{padding:34px 0 14px}
.eyebrow{margin:0;font-size:12px;letter-spacing:.09em;text-transform:uppercase;color:var(--muted);font-weight:600}
h1{margin:2px 0 4px;font-size:32px;line-height:1.15;letter-spacing:-.015em}
.when{margin:0;color:var(--muted);font-size:13.5px}
nav{position:sticky;top:0;z-index:2;background:var(--bg);border-bottom:1px solid var(--line);margin:0 -20px;padding:0 20px;overflow-x:auto;white-space:nowrap;scrollbar-width:none}
nav a{display:inline-block;padding:10px 0;margin-right:20px;color:var(--muted);text-decoration:none;font-size:13.5px;font-weight:550}
nav a:hover,nav a:focus-visible{color:var(--ink);text-decoration:underline;text-underline-offset:5px}
section{margin-top:34px;scroll-margin-top:44px}
h2{font-size:21px;margin:0 0 6px;letter-spacing:-.01em}
h3{font-size:17px;margin:20px 0 4px;display:flex;flex-wrap:wrap;gap:4px 10px;align-items:center}
h4{font-size:14.5px;margin:22px 0 6px;display:flex;gap:10px;align-items:center}
.lead{margin:0 0 12px;color:var(--muted);max-width:78ch}
p{margin:8px 0}
article{background:var(--panel);border:1px solid var(--faint);border-radius:10px;padding:4px 20px 18px;margin-top:12px;min-width:0}
article h3{margin-top:14px}
.tag{font-size:12.5px;font-weight:500;color:var(--muted);border:1px solid var(--line);border-radius:99px;padding:0 9px}
.note,small,.quiet-text,.muted,.detail{color:var(--muted)}
.note{font-size:13px;max-width:90ch}
small{display:block;font-size:12px;font-weight:400;line-height:1.35}
code{font:12.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code.hash{color:var(--muted)}code.long{word-break:break-all}
pre{background:var(--panel);border:1px solid var(--faint);border-radius:8px;padding:12px 16px;overflow-x:auto}
.nowrap{white-space:nowrap}.bad-text{color:var(--bad)}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.empty{background:var(--panel);border:1px dashed var(--line);border-radius:8px;padding:12px 16px;color:var(--muted)}
.empty code{color:var(--ink)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(168px,1fr));gap:10px;margin:12px 0 0}
.card{background:var(--panel);border:1px solid var(--faint);border-radius:10px;padding:11px 14px 12px;min-width:0}
article .card,#verify .card{background:var(--panel)}
.card dt{font-size:12.5px;color:var(--muted)}
.card dd{margin:2px 0 0}
.value{display:block;font-size:22px;font-weight:620;letter-spacing:-.01em;line-height:1.35;font-variant-numeric:tabular-nums}
.value .badge{font-size:14px;padding:2px 10px}
.detail{display:block;font-size:12.5px;line-height:1.35}
.badge{display:inline-block;border-radius:99px;padding:0 8px;font-size:12.5px;font-weight:600;white-space:nowrap;line-height:1.6;letter-spacing:0}
.badge.good{color:var(--good);background:var(--goodbg)}.badge.bad{color:var(--bad);background:var(--badbg)}.badge.warn{color:var(--warn);background:var(--warnbg)}.badge.plain{color:var(--muted);background:var(--faint)}
.scroll{overflow-x:auto;background:var(--panel);border:1px solid var(--faint);border-radius:8px;margin:8px 0}
article .scroll,details .scroll{border-radius:6px}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:6px 12px;text-align:left;vertical-align:middle;border-top:1px solid var(--faint)}
thead th{border-top:0;font-size:12px;font-weight:600;color:var(--muted);white-space:nowrap;vertical-align:bottom}
tbody th{font-weight:550;min-width:150px}tbody th small{max-width:46ch}table.quiet tbody th,table.matrix tbody th{min-width:0}
th.n,td.n{text-align:right;white-space:nowrap}
table.quiet{font-size:12.5px}table.quiet th,table.quiet td{padding:3px 10px}
table.matrix td{text-align:center;background:color-mix(in srgb,var(--c1) calc(var(--share,0%)*.45),transparent)}table.matrix thead th{text-align:center;white-space:normal}table.matrix th,table.matrix td{padding:6px 8px}
table.matrix td small{color:inherit;opacity:.8}
figure{margin:0;min-width:0}
figcaption{font-weight:600;font-size:14px}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(330px,100%),1fr));gap:22px 28px;margin:14px 0 4px}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(360px,100%),1fr));gap:8px 28px}
.columns>div{min-width:0}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 14px;margin:2px 0 4px;padding:0;font-size:12.5px;color:var(--muted)}
.key{display:inline-block;width:14px;height:4px;border-radius:2px;margin-right:6px;vertical-align:middle}
.key.c0{background:var(--soft);height:9px}.key.c1{background:var(--c1)}.key.c2{background:var(--c2)}.key.c3{background:var(--c3)}.key.c4{background:var(--c4)}
details>summary{cursor:pointer;font-size:12.5px;color:var(--muted);padding:3px 0}
details.group>summary{font-size:14px;color:var(--ink);padding:9px 2px 2px}
svg{display:block}
svg text{font:11.5px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--ink)}
svg.plot{width:100%;height:auto;max-width:560px}
svg.spark{width:132px;height:32px}svg.spark.wide{width:150px;height:36px}
figure>svg.spark.wide{width:100%;height:auto;max-width:560px;margin:8px 0}
svg.pipeline{width:100%;height:auto;padding:12px}
.axis text{fill:var(--muted);font-size:11px}.axis .label{font-size:11.5px}
.grid{stroke:var(--faint)}.base{stroke:var(--line)}
.reference{fill:none;stroke:var(--muted);stroke-dasharray:4 4;stroke-width:1}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.line.c1{stroke:var(--c1);stroke-width:2.2}.line.c2{stroke:var(--c2)}.line.c3{stroke:var(--c3)}.line.c4{stroke:var(--c4)}
.dot{stroke:var(--panel)}.bar.c1,.dot.c1{fill:var(--c1)}.bar.c2{fill:var(--c2)}.bar.c3{fill:var(--c3)}.bar.c4{fill:var(--c4)}.bar.soft,.area.c1{fill:var(--soft)}
.bar.idle{fill:var(--idle)}.bar.alarm{fill:var(--bad)}
svg .muted{fill:var(--muted)}
.sharebar{width:110px;height:10px;border-radius:3px}
.rate{display:flex;gap:8px;align-items:center;white-space:nowrap}
.balance{display:grid;gap:8px;margin:10px 0}.balance>div{display:grid;grid-template-columns:74px 1fr auto;gap:10px;align-items:center;font-size:13.5px}
.balance .sharebar{width:100%;height:14px}
.balance .number{color:var(--muted);font-variant-numeric:tabular-nums}
.node rect{fill:var(--panel);stroke:var(--line)}.node .stripe{stroke:none;fill:var(--muted)}
.node text{font-weight:600;font-size:11.5px}.node text.muted{font-weight:400;font-size:10.5px}
.node.source .stripe,.node.transform .stripe{fill:var(--c3)}.node.features .stripe{fill:var(--c1)}.node.dataset .stripe{fill:var(--c4)}.node.model .stripe,.node.service .stripe,.node.monitor .stripe{fill:var(--c2)}
.edge{fill:none;stroke:var(--muted);stroke-opacity:.5;stroke-width:1.2}.edge.label{stroke-dasharray:6 4}.edge.observations{stroke-dasharray:1.5 3.5}
.heading{fill:var(--muted);font-size:11px;font-weight:600}
.edges,.checks,.alerts{margin:6px 0;padding-left:20px;font-size:13.5px}
.checks{list-style:none;padding-left:0}
.alerts{background:var(--badbg);color:var(--bad);border-radius:8px;padding:8px 14px 8px 32px}
footer{margin-top:40px;padding-top:14px;border-top:1px solid var(--line);color:var(--muted);font-size:13px}
a{color:var(--c1)}
:focus-visible{outline:2px solid var(--c1);outline-offset:2px}
@media(max-width:640px){.page{padding:0 14px 40px}nav{margin:0 -14px;padding:0 14px}header{padding-top:22px}h1{font-size:26px}article{padding:2px 14px 14px}.cards{grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}.value{font-size:19px}th,td{padding:6px 9px}tbody th{min-width:118px}}
@media print{nav{display:none}body{background:#fff}article,.card,.scroll{break-inside:avoid}}
`;
