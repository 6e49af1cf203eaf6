import { MillraceError } from '../../core/base/error.js';
import type { Source } from '../../core/define/types.js';

interface ServerError extends Error {
  /** SQLSTATE of the server, or the system's name of a network error. */
  readonly code?: string;
}

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ENOTFOUND',
]);
/** Serialisation, deadlock, too many connections, shutting down, starting up; class 08 is the connection's. */
const PASSING = new Set(['40001', '40P01', '53300', '57P01', '57P02', '57P03']);

export function isTransient(error: ServerError): boolean {
  const { code } = error;
  if (code === undefined) return /connection terminated|timeout/i.test(error.message);
  return NETWORK.has(code) || PASSING.has(code) || code.startsWith('08');
}

const UNKNOWN_AUTHORITY = "Name the server's authority in the URL: `?sslmode=verify-full&sslrootcert=FILE`.";

const HINTS: Readonly<Record<string, string>> = {
  '28P01': 'The user or the password in the URL is wrong.',
  '28000': 'The server does not let this user in.',
  '3D000': 'The database in the URL does not exist.',
  '42P01': 'Name a table that is there, with its schema: `sales.orders`.',
  '42501': 'Grant this user SELECT on what the source reads.',
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
};

/** Host and database of the URL, never its user or password. */
function placeOf(url: string): string {
  try {
    const { host, pathname } = new URL(url);
    return `${host}${pathname}`;
  } catch {
    return 'the server';
  }
}

export function explain(source: Source, url: string, error: ServerError): MillraceError {
  const place = placeOf(url);
  const { code = '' } = error;
  const options = { ...(source.place ? { place: source.place } : {}), cause: error };
  if (isTransient(error))
    return new MillraceError(
      'SOURCE_UNREACHABLE',
      `PostgreSQL at ${place} does not answer source ${source.name}: ${error.message || code}`,
      options,
    );
  const hint = HINTS[code];
  return new MillraceError(
    'SOURCE_REFUSED',
    `PostgreSQL at ${place} refuses source ${source.name}: ${error.message}${code === '' ? '' : ` (${code})`}`,
    { ...options, ...(hint === undefined ? {} : { hint }) },
  );
}
