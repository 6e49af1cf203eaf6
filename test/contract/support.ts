import { stringify } from 'yaml';

/** A definition file; whole numbers beyond 2^53 stay numbers. */
export const yamlOf = (value: unknown): string =>
  stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
