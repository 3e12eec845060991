<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${page.said} – migrate report</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
caption { text-align: left; padding-bottom: .5rem; }
th, td { border-bottom: 1px solid #8886; padding: .3rem .6rem; text-align: left; }
td.mark { text-align: center; }
tr.odd th, tr.odd td { background: #f5c66733; }
</style>
</head>
<body>
<main>
<h1>${page.said}</h1>
<p>${page.service}, read ${page.made} by migrate ${page.version}</p>
<div class="scroll" role="region" aria-label="Tenants by revision" tabindex="0">
<table>
<caption>Tenants by revision, those that somebody has to look at first</caption>
<thead><tr><th scope="col">Tenant</th><th scope="col">State</th><th scope="col">Pending</th>\
% for revision in page.revisions:
<th scope="col"><code>${revision}</code></th>\
% endfor
</tr></thead>
<tbody>
% for row, cells in zip(page.rows, page.cells):
<tr class="${'odd' if row.is_odd else 'even'}"><th scope="row">${row.tenant}</th><td>${row.said}</td><td>${row.pending or ''}</td>\
% for cell in cells:
<td class="mark">${cell}</td>\
% endfor
</tr>
% endfor
</tbody>
</table>
</div>
</main>
</body>
</html>
