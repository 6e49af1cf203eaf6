/** Processes in groups of their own, and what of their words may be shown. */

const SECRET_NAME = /secret|token|passw|credential|api_?key|private_?key|access_?key/i;
/** Shorter values would mask ordinary words. */
const SECRET_LENGTH = 6;

/** Replaces the values of variables whose names say that they are secret. */
export function masker(env: Readonly<Record<string, string | undefined>>): (text: string) => string {
  const secrets = Object.entries(env)
    .flatMap(([name, value]) =>
      SECRET_NAME.test(name) && value !== undefined && value.length >= SECRET_LENGTH ? [value] : [],
    )
    .sort((a, b) => b.length - a.length);
  return (text) => secrets.reduce((masked, secret) => masked.replaceAll(secret, '***'), text);
}

export function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}
