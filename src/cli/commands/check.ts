import { loadProject } from '../../services/load-project.js';
import { type Io, printDiagnostic } from '../io.js';

export async function check(io: Io): Promise<number> {
  const { definitions, diagnostics } = await loadProject(io.projectFolder);
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
        .map(([kind, n]) => `${n} ${kind.replace('_', ' ')}`)
        .join(', ')}${warnings > 0 ? `; ${warnings} warning${warnings === 1 ? '' : 's'}` : ''}`,
    );
  else io.print(`${errors} error${errors === 1 ? '' : 's'}, ${warnings} warning${warnings === 1 ? '' : 's'}`);
  io.result({ ok: errors === 0, errors, warnings, counts, diagnostics });
  return errors === 0 ? 0 : 2;
}
