<%def name="badge(kind, text)"><span class="badge ${kind}">${text}</span></%def>
<%!
def some(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"
%>
<%
def caption(rows, noun):
    if len(rows) > newest:
        return f"The newest {newest} of {some(len(rows), noun)}"
    return f"{some(len(rows), noun)}, newest first" if len(rows) > 1 else some(len(rows), noun)
%>
<%def name="lines(entries)"><ul class="changes">\
% for entry in entries:
<li class="${{'+': 'added', '-': 'removed'}.get(entry[:1], 'changed')}"><code>${entry}</code></li>\
% endfor
</ul></%def>
<%def name="revision_table(revisions, caption)">
<div class="scroll" role="region" aria-label="${caption}" tabindex="0">
<table>
<caption>${caption}</caption>
<thead><tr><th scope="col">State</th><th scope="col">Revision</th><th scope="col">What it does</th><th scope="col">Applied in the run of</th><th scope="col">Took</th></tr></thead>
<tbody>
% for revision in revisions:
<tr class="is-${revision.mark.replace(' ', '-')}"${' aria-current="true"' if revision.mark == 'current' else '' | n}>
<td>${badge(revision.mark.replace(' ', '-'), {'current': '● current', 'applied': '✓ applied', 'pending': '○ pending'}.get(revision.mark, '– not applied'))}\
% if revision.is_head:
 ${badge('head', 'head')}\
% endif
</td>
<th scope="row"><code>${revision.id}</code></th>
<td><bdi>${revision.message or '(no message)'}</bdi>
% if revision.file or revision.lines:
<details><summary>${some(len(revision.lines), 'change') + ' in the schema' if revision.lines else 'Details'}<span class="hidden"> by ${revision.id}</span></summary>
% if revision.file:
<p class="quiet"><code>${revision.file}</code>${', after ' + revision.down if revision.down else ', the first'}</p>
% endif
% if revision.lines:
${lines(revision.lines)}
% elif page.has_manifest:
<p class="quiet">The manifest has no change of the schema for it.</p>
% else:
<p class="quiet">There is no manifest that would tell.</p>
% endif
</details>
% endif
</td>
<td class="when">${revision.applied or '–'}</td>
<td class="number">${revision.took or '–'}</td>
</tr>
% endfor
</tbody>
</table>
</div>
</%def>
<%def name="run_table(runs, caption)">
<div class="scroll" role="region" aria-label="${caption}" tabindex="0">
<table>
<caption>${caption}</caption>
<thead><tr><th scope="col">Started</th><th scope="col">Run</th><th scope="col">Outcome</th><th scope="col">From → to</th><th scope="col">Took</th></tr></thead>
<tbody>
% for run in runs:
<tr>
<td class="when">${run.started}</td>
<th scope="row"><code>${run.run_id}</code><span class="quiet"> ${run.verb}</span></th>
<td>${badge('good' if run.good else 'bad', ('✓ ' if run.good else '✗ ') + run.outcome)}
% if run.problem:
<span class="quiet">${run.problem}, exit code ${run.exit_code}</span>
% endif
% if run.steps or run.context:
<details><summary>${some(len(run.steps), 'step')}<span class="hidden"> of run ${run.run_id}</span></summary>
<p class="quiet">migrate ${run.version}${', ' + run.context if run.context else ''}</p>
% if run.steps:
<ol class="steps">
% for step in run.steps:
<li><strong>${step.kind}</strong> <code>${step.revision}</code> ${step.status}${', ' + step.took if step.took else ''}\
% if step.file:
 <span class="quiet">${step.file}</span>\
% endif
</li>
% endfor
</ol>
% endif
% for change in run.changes:
<h3>What <code>${change.revision}</code> changed</h3>
${lines(change.lines)}
% endfor
</details>
% endif
</td>
<td class="ids"><code>${run.rows_before}</code> → <code>${run.rows_after or '?'}</code></td>
<td class="number">${run.took or '–'}</td>
</tr>
% endfor
</tbody>
</table>
</div>
</%def>
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${page.database}: ${page.position} – migrate report</title>
<style>
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --line: #d5d9e0; --text: #1b1f27; --quiet: #545c69; --link: #0b57c2;
  --good: #116329; --good-back: #dcf3e2; --bad: #a01323; --bad-back: #fde2e4; --warn: #7a4a00; --warn-back: #fdeecb;
  --now: #0b4aa8; --now-back: #dce9fd; --plain-back: #e9ecf1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12151b; --card: #1a1f28; --line: #353d4a; --text: #e6e9ef; --quiet: #a4adbb; --link: #82b1ff;
    --good: #7ee29a; --good-back: #143821; --bad: #ff9aa5; --bad-back: #4a161d; --warn: #f5c667; --warn-back: #42300a;
    --now: #9cc4ff; --now-back: #17335f; --plain-back: #2a313d;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
code { font: .875em/1.45 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 1.25rem 1.5rem; }
header { padding-top: 2rem; padding-bottom: 0; }
footer { color: var(--quiet); font-size: .875rem; padding-bottom: 3rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .35rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: .875rem; margin: .75rem 0 .25rem; }
p { margin: .25rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; margin: .75rem 0 0; padding: 0; }
a { color: var(--link); }
.quiet { color: var(--quiet); font-size: .875rem; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem 1rem; z-index: 1; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .75rem; margin: 1rem 0 0; }
.facts div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; }
.facts dt { color: var(--quiet); font-size: .8125rem; }
.facts dd { margin: .1rem 0 0; font-weight: 600; overflow-wrap: anywhere; }
.note { border: 1px solid var(--line); border-left: .3rem solid var(--line); background: var(--card); border-radius: .5rem; padding: .75rem 1rem; margin: .75rem 0; }
.note.warn { border-left-color: var(--warn); } .note.good { border-left-color: var(--good); } .note.bad { border-left-color: var(--bad); }
.note ul { margin: .35rem 0 0; padding-left: 1.25rem; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding: .75rem 1rem; color: var(--quiet); font-size: .875rem; }
th, td { text-align: left; vertical-align: top; padding: .55rem 1rem; border-top: 1px solid var(--line); font-weight: inherit; }
thead th { font-size: .8125rem; color: var(--quiet); font-weight: 600; white-space: nowrap; }
tbody th, tbody th code, .ids code, .when, .number { white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
thead th:last-child { text-align: right; }
tr[aria-current] { background: color-mix(in srgb, var(--now-back) 45%, transparent); }
.badge { display: inline-block; border-radius: .3rem; padding: .05rem .5rem; font-size: .8125rem; font-weight: 600; white-space: nowrap; background: var(--plain-back); color: var(--text); }
.badge.good, .badge.applied { background: var(--good-back); color: var(--good); }
.badge.bad { background: var(--bad-back); color: var(--bad); }
.badge.pending { background: var(--warn-back); color: var(--warn); }
.badge.current { background: var(--now-back); color: var(--now); }
details { margin-top: .2rem; }
summary { cursor: pointer; color: var(--quiet); font-size: .875rem; width: fit-content; }
.older { margin-top: .75rem; } .older > summary { font-size: 1rem; padding: .35rem 0; color: var(--link); }
.changes, .steps { margin: .35rem 0 .5rem; padding: 0; list-style: none; }
.changes li { border-left: .2rem solid var(--line); padding: .05rem .6rem; }
.changes .added { border-color: var(--good); } .changes .removed { border-color: var(--bad); } .changes .changed { border-color: var(--warn); }
.coming { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; margin: .75rem 0; }
.coming h3 { font-size: 1rem; margin: 0 0 .35rem; } .coming h4 { font-size: .875rem; margin: .6rem 0 .15rem; } .coming > ul:not(.changes) { margin: 0; padding-left: 1.25rem; }
.steps li { margin: .2rem 0; }
@media print { body { background: none; } .scroll { overflow: visible; } nav, .skip { display: none; } }
</style>
</head>
<body>
<a class="skip" href="#main">Skip to the report</a>
<header>
<h1><bdi>${page.database}</bdi> <span class="hidden">, state:</span> ${badge('good' if page.good else 'bad', ('✓ ' if page.good else '✗ ') + page.position)}</h1>
<p class="quiet">${page.service}, ${page.server}, read ${page.made} by migrate ${page.version}</p>
<nav aria-label="Sections"><ul><li><a href="#now">Now</a></li><li><a href="#coming">What comes next</a></li><li><a href="#drift">Drift</a></li><li><a href="#runs">Runs</a></li><li><a href="#revisions">Revisions</a></li></ul></nav>
</header>
<main id="main">
<section aria-labelledby="now">
<h2 id="now">Now</h2>
<dl class="facts">
<div><dt>Database is at</dt><dd><code>${page.rows}</code></dd></div>
<div><dt>Pending revisions</dt><dd>${page.pending}</dd></div>
<div><dt>Runs recorded</dt><dd>${len(page.runs)}${' or more' if page.runs_limited else ''}</dd></div>
<div><dt>Revisions in the image</dt><dd>${len(page.revisions)}</dd></div>
</dl>
<p class="note ${'good' if page.good else 'bad'}"><strong>migrate up:</strong> ${page.decision}</p>
% for finding in page.findings:
<p class="note warn"><strong>Finding:</strong> ${finding}</p>
% endfor
</section>
<section aria-labelledby="coming">
<h2 id="coming">What comes next</h2>
% if page.coming:
% for each in page.coming[:newest]:
<article class="coming">
<h3><code>${each.id}</code> <bdi>${each.message or '(no message)'}</bdi></h3>
% if each.breaks:
<div class="note bad"><p><strong>Breaks the release that is still running:</strong></p>
<ul>
% for sentence in each.breaks:
<li>${sentence}</li>
% endfor
</ul></div>
% endif
% if each.lines:
${lines(each.lines)}
% else:
<p class="quiet">No change of the schema.</p>
% endif
% for title, sentences in (('Effects', each.effects), ('Needs of the rows', each.needs)):
% if sentences:
<h4>${title}</h4>
<ul>
% for sentence in sentences:
<li>${sentence}</li>
% endfor
</ul>
% endif
% endfor
% if each.unknown:
<p class="quiet">The manifest does not say its ${' and '.join(each.unknown)}.</p>
% endif
</article>
% endfor
% if len(page.coming) > newest:
<p class="note">${len(page.coming) - newest} more are pending: <code>migrate plan --format markdown</code> has all.</p>
% endif
% elif page.pending:
<p class="note">${some(page.pending, 'revision')} pending. There is no manifest that would tell what they do.</p>
% else:
<p class="note good">Nothing is pending.</p>
% endif
</section>
<section aria-labelledby="drift">
<h2 id="drift">Drift</h2>
% if page.drift:
<div class="note warn"><p><strong>${len(page.drift)} ${'object is' if len(page.drift) == 1 else 'objects are'} not as the manifest says:</strong></p>
<ul>
% for sentence in page.drift:
<li><code>${sentence}</code></li>
% endfor
</ul></div>
% else:
<p class="note ${'' if page.drift is None else 'good'}">${page.drift_said}</p>
% endif
</section>
<section aria-labelledby="runs">
<h2 id="runs">Runs</h2>
% if page.runs:
${run_table(page.runs[:newest], caption(page.runs, "run"))}
% if len(page.runs) > newest:
<details class="older"><summary>${some(len(page.runs) - newest, 'older run')}</summary>
${run_table(page.runs[newest:], "Older runs")}
</details>
% endif
% else:
<p class="note">The ledger has no runs on this database.</p>
% endif
</section>
<section aria-labelledby="revisions">
<h2 id="revisions">Revisions</h2>
% if page.revisions:
${revision_table(page.revisions[:newest], caption(page.revisions, "revision"))}
% if len(page.revisions) > newest:
<details class="older"><summary>${some(len(page.revisions) - newest, 'older revision')}</summary>
${revision_table(page.revisions[newest:], "Older revisions")}
</details>
% endif
% else:
<p class="note">This image has no revisions.</p>
% endif
</section>
</main>
<footer><p>Times are in UTC. What a revision changed is what the manifest says. The page loads nothing and runs no script.</p></footer>
</body>
</html>
