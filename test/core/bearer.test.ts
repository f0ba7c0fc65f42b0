import { createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BEARER_PREFIX, bearerHash, formatBearer, parseBearer } from '../../src/core/bearer.ts'
import type { BearerKind } from '../../src/core/model.ts'

const kinds = Object.keys(BEARER_PREFIX) as BearerKind[]

test('each kind of bearer has its own prefix (S10)', () => {
  expect(
    kinds.map((kind) =>
      formatBearer(kind, randomBytes(32))
        .reveal()
        .replace(/[^_]*$/, ''),
    ),
  ).toEqual(['hp_owner_', 'hp_admin_', 'hp_audit_', 'hp_pub_', 'hp_verify_'])
})

test('a bearer is found again by its kind and hash (S10)', () => {
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.uint8Array({ minLength: 32, maxLength: 32 }), (kind, entropy) => {
      const text = formatBearer(kind, entropy).reveal()
      expect(parseBearer(text)).toEqual({ kind, hash: createHash('sha256').update(text).digest('hex') })
    }),
  )
})

test('different random bytes make different bearers, and all 256 bits are in them (S10)', () => {
  const [low, high] = [new Uint8Array(32), new Uint8Array(32).fill(255)]
  const flipped = Uint8Array.from(high, (byte, index) => (index === 0 ? byte ^ 0x80 : byte))
  const texts = [low, high, flipped].map((bytes) => formatBearer('admin', bytes).reveal())
  expect(new Set(texts).size).toBe(3)
  expect(() => formatBearer('admin', randomBytes(31))).toThrow(RangeError)
})

test('a bearer with any character changed, or of another kind, is none (S10)', () => {
  const text = formatBearer('auditor', randomBytes(32)).reveal()
  for (let at = 0; at < text.length; at++) {
    const other = text[at] === 'x' ? 'y' : 'x'
    expect(parseBearer(text.slice(0, at) + other + text.slice(at + 1))).toBeNull()
  }
  expect(parseBearer(text.replace('hp_audit_', 'hp_admin_'))).toBeNull()
  for (const hostile of ['', 'hp_', `${text}\n`, ` ${text}`, `${text}0`, text.toUpperCase(), 'x'.repeat(1_000_000)]) {
    expect(parseBearer(hostile)).toBeNull()
  }
})

test('the hash is not the bearer, and needs it whole (P7)', () => {
  const text = formatBearer('owner', randomBytes(32)).reveal()
  expect(bearerHash(text)).toMatch(/^[0-9a-f]{64}$/)
  expect(bearerHash(text)).not.toBe(bearerHash(text.slice(0, -1)))
})
