import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { calculateJwkThumbprint } from 'jose'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createKeys } from '../../../src/adapters/keys/create-keys.ts'
import { loadKek, parseKek } from '../../../src/adapters/keys/kek.ts'
import { openKey, sealKey } from '../../../src/adapters/keys/seal.ts'
import { Secret } from '../../../src/core/secret.ts'
import { unwrap } from '../../support/store-on-disk.ts'

let root: string
let dataPath: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hp-'))
  dataPath = join(root, 'data')
  mkdirSync(dataPath, { mode: 0o700 })
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const text = randomBytes(32).toString('base64')
const local = () => ({ dataPath, loopback: true, mayGenerate: true })
const generated = () => ({ from: 'data folder', path: join(dataPath, 'kek') }) as const

test('on loopback a KEK is generated once, 0600, and used ever after (S19)', () => {
  const first = unwrap(loadKek(generated(), local()))
  expect(statSync(join(dataPath, 'kek')).mode & 0o777).toBe(0o600)
  expect(parseKek(readFileSync(join(dataPath, 'kek'), 'utf8'))).toHaveLength(32)
  expect(unwrap(loadKek(generated(), local())).equals(first)).toBe(true)
  expect(readdirSync(dataPath)).toEqual(['kek'])
})

test('a KEK that went away from beside its database is asked for, not replaced (P9)', () => {
  const result = loadKek(generated(), { ...local(), mayGenerate: false })
  expect(result).toMatchObject({ ok: false, error: expect.stringContaining('put it back') })
  expect(readdirSync(dataPath)).toEqual([])
})

test('off loopback no KEK in the data folder is used, reached by a link or directly (S19)', () => {
  writeFileSync(join(dataPath, 'kek'), text, { mode: 0o600 })
  symlinkSync(join(dataPath, 'kek'), join(root, 'link'))
  writeFileSync(join(root, 'kek'), text, { mode: 0o600 })
  const outside = { ...local(), loopback: false }
  expect(loadKek(generated(), outside).ok).toBe(false)
  expect(loadKek({ from: 'file', path: join(dataPath, 'kek') }, outside).ok).toBe(false)
  expect(loadKek({ from: 'file', path: join(root, 'link') }, outside).ok).toBe(false)
  expect(loadKek({ from: 'file', path: join(root, 'kek') }, outside).ok).toBe(true)
})

test('a KEK file that others can read or replace is refused (S19)', () => {
  const path = join(root, 'kek')
  writeFileSync(path, text, { mode: 0o600 })
  const accepted = [0o600, 0o400, 0o440, 0o644, 0o660, 0o604].filter((mode) => {
    chmodSync(path, mode)
    return loadKek({ from: 'file', path }, local()).ok
  })
  expect(accepted).toEqual([0o600, 0o400, 0o440])
  writeFileSync(join(dataPath, 'kek'), text)
  chmodSync(join(dataPath, 'kek'), 0o440)
  expect(loadKek(generated(), local()).ok).toBe(false)
})

test('what is not 32 bytes in base64 is refused without being repeated (P7)', () => {
  for (const wrong of ['', 'hunter2', text.slice(4), `${text}AAAA`, text.replace(/.=$/, '!='), 'x'.repeat(5000)]) {
    const result = loadKek({ from: 'value', value: new Secret(wrong) }, local())
    expect(result).toEqual({ ok: false, error: 'HALLPASS_KEK is not 32 bytes in base64' })
    writeFileSync(join(root, 'kek'), wrong, { mode: 0o600 })
    expect(loadKek({ from: 'file', path: join(root, 'kek') }, local())).toMatchObject({ ok: false })
  }
  expect(loadKek({ from: 'file', path: join(root, 'nowhere') }, local())).toMatchObject({ ok: false })
  expect(parseKek(`${text}\n`)).toEqual(Buffer.from(text, 'base64'))
})

const kek = createSecretKey(randomBytes(32))
const place = { id: 'kid-1', use: 'tokens' } as const

test('a sealed key opens for its row, its use and its KEK alone (S19)', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const sealed = sealKey(privateKey, kek, place)
  expect(openKey(sealed, kek, place)?.equals(privateKey)).toBe(true)
  expect(openKey(sealed, kek, { ...place, id: 'kid-2' })).toBeNull()
  expect(openKey(sealed, kek, { ...place, use: 'audit' })).toBeNull()
  expect(openKey(sealed, createSecretKey(randomBytes(32)), place)).toBeNull()
  expect(sealKey(privateKey, kek, place)).not.toBe(sealed)
})

test('a sealed key with any byte changed, or cut short, does not open (S19)', () => {
  const sealed = Buffer.from(sealKey(generateKeyPairSync('ed25519').privateKey, kek, place), 'base64')
  for (let at = 0; at < sealed.length; at++) {
    const damaged = Buffer.from(sealed)
    damaged[at] = (damaged[at] ?? 0) ^ 1
    expect(openKey(damaged.toString('base64'), kek, place)).toBeNull()
    expect(openKey(sealed.subarray(0, at).toString('base64'), kek, place)).toBeNull()
  }
})

test('a new key is named by its RFC 7638 thumbprint and shows public members alone (S19)', async () => {
  for (const [use, alg, members] of [
    ['tokens', 'ES256', ['crv', 'kty', 'x', 'y']],
    ['tokens', 'RS256', ['e', 'kty', 'n']],
    ['audit', 'Ed25519', ['crv', 'kty', 'x']],
  ] as const) {
    const key = await createKeys(kek).create(use, alg === 'RS256' ? alg : undefined)
    expect(key).toMatchObject({ use, alg, id: await calculateJwkThumbprint({ ...key.publicJwk }) })
    expect(Object.keys(key.publicJwk).toSorted()).toEqual(members)
    expect(openKey(key.sealed, kek, key)?.type).toBe('private')
  }
})
