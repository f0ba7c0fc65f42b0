// What an agent or a manifest wrote, made fit to be shown to a person who decides: on a page and in a terminal (S20).
// It strips what cannot be seen or moves what can; escaping for HTML is the page's own.

/** Cc controls, Cf format characters (bidi, zero width, tags), Co private use, line and paragraph separators, fillers. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029\u115f\u1160\u3164\uffa0\p{Variation_Selector}]/gu
/** Marks piled on one letter run over the lines around it. */
const PILED = /(\p{M}{3})\p{M}+/gu

/**
 * One line without control, bidi or invisible characters; runs of white space become one blank, half a surrogate pair
 * becomes U+FFFD. Longer than `maxLength` (UTF-16 units) it is cut and says so with an ellipsis.
 */
export function safeText(text: string, maxLength = 2000): string {
  const line = text
    .slice(0, maxLength * 4)
    .toWellFormed()
    .replace(/\s+/gu, ' ')
    .replace(UNSEEN, '')
    .replace(PILED, '$1')
    .replace(/ +/g, ' ')
    .trim()
  return line.length <= maxLength ? line : `${line.slice(0, maxLength - 1).toWellFormed()}…`
}
