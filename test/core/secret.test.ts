import { format, inspect } from 'node:util'
import { expect, test } from 'vitest'
import { Secret } from '../../src/core/secret.ts'

const text = 'correct horse battery staple'
const secret = new Secret(text)

test('a secret shows itself in no way of printing (P7)', () => {
  const error = new Error('x', { cause: secret })
  const shown = [
    String(secret),
    `${secret}`,
    ['', secret].join(''),
    JSON.stringify({ secret }),
    inspect(secret),
    inspect({ deep: { secret } }, { showHidden: true, depth: 9 }),
    inspect(error),
    format('%s %o %O %j', secret, secret, secret, secret),
    JSON.stringify(Object.entries(secret)),
    JSON.stringify(structuredClone({ ...secret })),
  ]
  for (const line of shown) expect(line).not.toContain('horse')
  expect(String(secret)).toBe('[secret]')
  expect(JSON.stringify({ secret })).toBe('{"secret":"[secret]"}')
})

test('a secret is given only to whoever asks to reveal it (P7)', () => {
  expect(secret.reveal()).toBe(text)
})

test('secrets are equal by their text alone, whatever their lengths (P7)', () => {
  expect(secret.equals(new Secret(text))).toBe(true)
  expect(secret.equals(text)).toBe(true)
  expect(secret.equals(`${text} `)).toBe(false)
  expect(secret.equals('')).toBe(false)
  expect(secret.equals('[secret]')).toBe(false)
})
