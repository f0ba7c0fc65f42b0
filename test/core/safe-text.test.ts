import fc from 'fast-check'
import { expect, test } from 'vitest'
import { safeText } from '../../src/core/safe-text.ts'

test.each([
  ['plain words', 'plain words'],
  ['two\nlines\r\n\tand a tab', 'two lines and a tab'],
  ['\u202Eevil\u202C \u2066x\u2069 \u200Fy\u061C', 'evil x y'],
  ['\u001b[31mred\u001b[0m\u0007\u009b', '[31mred[0m'],
  ['zero\u200bwidth\u2060\ufeff\u00ad', 'zerowidth'],
  ['tag\u{e0041}\u{e007f}s', 'tags'],
  ['fill\u3164\u115f\uffa0er', 'filler'],
  ['line\u2028para\u2029end', 'line para end'],
  ['a \u200b b', 'a b'],
  ['half \ud800 pair', 'half \ufffd pair'],
  ['Zoë, naïve, 日本語, العربية, עברית', 'Zoë, naïve, 日本語, العربية, עברית'],
  [`z${'\u0301'.repeat(50)}algo`, `z${'\u0301'.repeat(3)}algo`],
])('%j is shown as %j (S20)', (text, shown) => {
  expect(safeText(text)).toBe(shown)
})

test('a long text is cut and says so (S20)', () => {
  expect(safeText('x'.repeat(50), 10)).toBe(`${'x'.repeat(9)}…`)
  expect(safeText('x'.repeat(10), 10)).toBe('x'.repeat(10))
})

test('whatever goes in, one short visible line comes out, and cleaning it again changes nothing (S20)', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const shown = safeText(text, 40)
      expect(shown.length).toBeLessThanOrEqual(40)
      expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\u2028\u2029]/u)
      expect(shown.isWellFormed()).toBe(true)
      expect(safeText(shown, 40)).toBe(shown)
    }),
  )
})
