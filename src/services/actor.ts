/** Who changes something: kept beside when and why. */
import os from 'node:os';

function systemUser(): string {
  try {
    return os.userInfo().username;
  } catch {
    // A container may run under a number that no name belongs to.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

/** MILLRACE_ACTOR, else the user of the system. */
export const userName = (): string =>
  process.env['MILLRACE_ACTOR'] || process.env['USER'] || process.env['LOGNAME'] || systemUser();
