import { withSqlReader } from '../../open.js';
import { checkSql, hasSql } from '../../services/check-sql.js';
import { loadProject } from '../../services/load-project.js';
import type { Command } from '../command.js';
import { printDiagnostic } from '../io.js';

export const command: Command = async (io) => {
  const { definitions, diagnostics: read } = await loadProject(io.projectFolder);
  const sound = read.every((diagnostic) => diagnostic.severity !== 'error');
  // The parser and the engine are loaded only where there is SQL to read.
  const checked =
    sound && hasSql(definitions)
      ? await withSqlReader((parser, describe) => checkSql(definitions, parser, describe))
      : { diagnostics: [], transforms: [] };
  const diagnostics = [...read, ...checked.diagnostics];
  for (const diagnostic of diagnostics) io.print(printDiagnostic(diagnostic));
  const errors = diagnostics.filter((diagnostic) => diagnostic.severity === 'error').length;
  const warnings = diagnostics.length - errors;
  const counts = {
    entities: definitions.entities.size,
    sources: definitions.sources.size,
    features: definitions.features.size,
    feature_sets: definitions.featureSets.size,
    labels: definitions.labels.size,
    datasets: definitions.datasets.size,
    models: definitions.models.size,
    services: definitions.services.size,
    monitors: definitions.monitors.size,
  };
  if (errors === 0)
    io.print(
      `ok: ${Object.entries(counts)
        .filter(([, n]) => n > 0)
        .map(
          ([kind, n]) =>
            `${n} ${(n === 1 ? kind.replace(/ies$/, 'y').replace(/s$/, '') : kind).replace('_', ' ')}`,
        )
        .join(', ')}${warnings > 0 ? `; ${warnings} warning${warnings === 1 ? '' : 's'}` : ''}`,
    );
  else io.print(`${errors} error${errors === 1 ? '' : 's'}, ${warnings} warning${warnings === 1 ? '' : 's'}`);
  for (const { name, kind, reason } of checked.transforms)
    io.print(`transform ${name}: ${kind}${reason === '' ? '' : `, ${reason}`}`);
  io.result({ ok: errors === 0, errors, warnings, counts, diagnostics, transforms: checked.transforms });
  return errors === 0 ? 0 : 2;
};
