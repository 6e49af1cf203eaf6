/** PostgreSQL's texts of values → the JSON that ingest reads. The session prints ISO dates in UTC. */

const OID = {
  boolean: 16,
  int8: 20,
  int2: 21,
  int4: 23,
  float4: 700,
  float8: 701,
  date: 1082,
  timestamp: 1114,
  timestamptz: 1184,
  numeric: 1700,
} as const;

const NUMBER_LISTS = new Set([1005, 1007, 1016, 1021, 1022, 1231]);

/** The SQL type to which a cursor's text is cast. */
export function sqlTypeOf(oid: number): string {
  switch (oid) {
    case OID.int2:
    case OID.int4:
    case OID.int8:
      return 'bigint';
    case OID.date:
      return 'date';
    case OID.timestamp:
      return 'timestamp';
    case OID.timestamptz:
      return 'timestamptz';
    case OID.numeric:
      return 'numeric';
    case OID.float4:
    case OID.float8:
      return 'float8';
    default:
      return 'text';
  }
}

/**
 * Numbers as texts: no digit is lost on the way. `infinity` and years before Christ are left for the type to refuse.
 * `vector`: an array of numbers is to be a list, and stays the server's text otherwise.
 */
export function jsonOf(
  { oid, vector }: { readonly oid: number; readonly vector: boolean },
  text: string | null,
): string {
  if (text === null) return 'null';
  switch (oid) {
    case OID.boolean:
      return text === 't' ? 'true' : 'false';
    case OID.timestamptz:
      return JSON.stringify(text.replace(' ', 'T').replace(/\+00$/, 'Z'));
    case OID.timestamp:
      return JSON.stringify(text.replace(' ', 'T'));
    default:
      return vector && NUMBER_LISTS.has(oid) && /^\{[-+\d.eE,]*\}$/.test(text)
        ? `[${text.slice(1, -1)}]`
        : JSON.stringify(text);
  }
}
