import { MillraceError } from '../../core/base/error.js';
import { VERSION } from '../../core/base/version.js';
import { parseBytes } from '../../core/define/shapes/words.js';
import { startServer } from '../../http/server.js';
import { openProject } from '../../open.js';
import type { Command } from '../command.js';
import { inProject } from '../in-project.js';
import { printDiagnostic } from '../io.js';
import { integer } from '../parse.js';

const MAX_BODY = 256 * 2 ** 20;

const serve = inProject(async (project, io, _args, options) => {
  const port = integer(options['port'], '--port') ?? 8080;
  if (port < 0 || port > 65_535)
    throw new MillraceError('USAGE', `--port ${port} is not a TCP port`, {
      hint: 'Ports are 1 to 65535; 0 takes any free one.',
    });
  const given = String(options['maxBody'] ?? '16MiB');
  const body = parseBytes(given);
  if (body === undefined || body < 1 || body > MAX_BODY)
    throw new MillraceError('USAGE', `--max-body ${given} is not a size up to 256MiB`, {
      hint: 'Write it as 64MiB. What is larger comes by `millrace ingest`.',
    });
  const server = await startServer(project, {
    port,
    host: String(options['host'] ?? '127.0.0.1'),
    version: VERSION,
    limits: { body },
    reopen: (definitions) => openProject(io.projectFolder, definitions ? { ...io, definitions } : io),
    onNotice: (text, cause) => {
      const diagnostics = cause instanceof MillraceError ? cause.diagnostics : [];
      io.warn([text, ...diagnostics.map(printDiagnostic)].join('\n'));
    },
    onFault: (route, error) => io.warn(`${route}: ${error instanceof Error ? error.message : String(error)}`),
    onFatal: (error) => process.exit(io.refuse(error, {})),
  });
  io.print(`${project.definitions.settings.project} is served at ${server.url}`);
  io.print(`  contract and forms  ${server.url}/docs`);
  io.print(`  readiness           ${server.url}/readyz`);
  io.print(`  metrics             ${server.url}/metrics`);
  io.result({ url: server.url, port: server.port });
  void server.settled.then(() => {
    if (!io.signal.aborted) io.note('ready to answer; Ctrl-C stops');
  });
  const onHangup = (): void => {
    io.note('reading the definitions again');
    void server.reload();
  };
  process.on('SIGHUP', onHangup);
  if (!io.signal.aborted)
    await new Promise<void>((resolve) =>
      io.signal.addEventListener('abort', () => resolve(), { once: true }),
    );
  await server.close();
  process.off('SIGHUP', onHangup);
  return 0;
});

/** Serves until SIGINT (exit 130) or SIGTERM (exit 0); requests under way are answered first. SIGHUP: reload. */
export const command: Command = async (io, args, options) => {
  let interrupted = false;
  const onInterrupt = (): void => {
    interrupted = true;
  };
  process.once('SIGINT', onInterrupt);
  try {
    const exit = await serve(io, args, options);
    return interrupted ? 130 : exit;
  } finally {
    process.off('SIGINT', onInterrupt);
  }
};
