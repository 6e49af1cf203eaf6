/** HTML and SVG as values: what is interpolated is escaped unless it was made by `html`. */

/** Text that is markup already. Only `html` and `raw` make it. */
export interface Markup {
  readonly markup: string;
}

export type Content = Markup | string | number | null | undefined | false | readonly Content[];

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Whether a code point may stand in a document: no control but tab and line ends, no lone surrogate, no noncharacter. */
const allowed = (code: number): boolean =>
  (code >= 0x20 || code === 0x9 || code === 0xa || code === 0xd) &&
  !(code >= 0x7f && code <= 0x9f) &&
  !(code >= 0xd800 && code <= 0xdfff) &&
  (code & 0xfffe) !== 0xfffe &&
  // Marks that turn the direction of what follows: a name must not rearrange the page around it.
  !(code >= 0x202a && code <= 0x202e) &&
  !(code >= 0x2066 && code <= 0x2069);

/** Safe in text and in quoted attributes. Characters that may not stand in a document become U+FFFD. */
export function escapeText(text: string): string {
  let out = '';
  for (const character of text)
    out += allowed(character.codePointAt(0)!) ? (ENTITIES[character] ?? character) : '\u{fffd}';
  return out;
}

const print = (content: Content): string => {
  if (content === null || content === undefined || content === false) return '';
  if (typeof content === 'string') return escapeText(content);
  if (typeof content === 'number') return String(content);
  if ('markup' in content) return content.markup;
  return content.map(print).join('');
};

export const html = (parts: TemplateStringsArray, ...values: readonly Content[]): Markup => ({
  markup: parts.reduce((text, part, i) => text + print(values[i - 1]) + part),
});

/** Markup from a trusted constant of this package. */
export const raw = (markup: string): Markup => ({ markup });

/** An id that is safe in `id`, `href` and `aria` attributes and different for different parts. */
export const anchor = (...parts: readonly string[]): string =>
  parts
    .map((part) =>
      part.replaceAll(/[^A-Za-z0-9_]/g, (character) => `-${character.codePointAt(0)!.toString(16)}`),
    )
    .join('-');

/** The first characters of a text that is only shown; the whole stands in its title. */
export const clip = (text: string, length: number): string => {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`;
};
