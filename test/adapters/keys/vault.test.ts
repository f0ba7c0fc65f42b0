// Tools' secrets at rest: what was sealed for one row opens in no other.

import { createSecretKey, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createVault } from '../../../src/adapters/keys/vault.ts'
import { Secret } from '../../../src/core/secret.ts'

const vault = createVault(createSecretKey(randomBytes(32)))
const place = { id: 'acc_1', purpose: 'account' } as const

test('a secret opens in its own row alone, under its own key, unaltered (S19)', () => {
  const sealed = vault.seal(new Secret('täl-secret'), place)
  expect(vault.open(sealed, place)?.reveal()).toBe('täl-secret')
  expect(vault.open(sealed, { ...place, id: 'acc_2' })).toBeNull()
  expect(createVault(createSecretKey(randomBytes(32))).open(sealed, place)).toBeNull()
  const bytes = Buffer.from(sealed, 'base64')
  for (const index of [0, 1, 13, 20, bytes.length - 1]) {
    const altered = Buffer.from(bytes)
    altered[index] = (altered[index] ?? 0) ^ 1
    expect(vault.open(altered.toString('base64'), place)).toBeNull()
  }
  expect(vault.open('', place)).toBeNull()
  expect(vault.seal(new Secret('täl-secret'), place)).not.toBe(sealed)
  expect(Buffer.from(sealed, 'base64').includes('secret')).toBe(false)
})
