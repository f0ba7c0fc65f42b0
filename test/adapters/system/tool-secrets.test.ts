// References to tools' secrets, opened from a real folder with real links.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readToolSecret, type SecretSources } from '../../../src/adapters/system/tool-secrets.ts'

const root = mkdtempSync(join(tmpdir(), 'hallpass-secrets-'))
const path = (...parts: string[]) => join(root, ...parts)
const write = (text: string, ...parts: string[]) => writeFileSync(path(...parts), text, { mode: 0o600 })
const sources: SecretSources = {
  env: { HALLPASS_TOOL_A: 'from-env', HALLPASS_TOOL_EMPTY: '', HALLPASS_TOOL_LINES: 'a\nb', AWS_SECRET: 'never' },
  secretsPath: path('secrets'),
  dataPath: path('data'),
  kekPath: path('secrets', 'own'),
}
const read = (reference: string, more: Partial<SecretSources> = {}) => {
  const secret = readToolSecret(reference, { ...sources, ...more })
  return secret.ok ? secret.value.reveal() : `refused: ${secret.error}`
}

beforeAll(() => {
  for (const folder of ['secrets', 'secrets/sub', 'data', 'elsewhere']) mkdirSync(path(folder), { mode: 0o700 })
  write('from-file\n', 'secrets', 'a')
  write('below', 'secrets', 'sub', 'b')
  write('own', 'secrets', 'own')
  write('db', 'data', 'hallpass.db')
  write('outside', 'elsewhere', 'x')
  write('x'.repeat(5000), 'secrets', 'long')
  write('open', 'secrets', 'open')
  chmodSync(path('secrets', 'open'), 0o644)
  symlinkSync(path('elsewhere', 'x'), path('secrets', 'link-out'))
  symlinkSync(path('data', 'hallpass.db'), path('secrets', 'link-data'))
  symlinkSync(path('data'), path('secrets', 'folder-data'))
  symlinkSync(path('secrets', 'own'), path('secrets', 'link-own'))
  symlinkSync(path('secrets', 'a'), path('secrets', 'link-in'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

describe("a reference to a tool's secret", () => {
  test.each([
    ['env:HALLPASS_TOOL_A', 'from-env'],
    ['file:a', 'from-file'],
    ['file:sub/b', 'below'],
    ['file:link-in', 'from-file'],
  ])('%s is opened where it is used (S5)', (reference, secret) => {
    expect(read(reference)).toBe(secret)
  })

  test.each([
    ['env:AWS_SECRET', 'HALLPASS_TOOL_* variables alone'],
    ['env:HALLPASS_TOOL_B', 'is not set'],
    ['env:HALLPASS_TOOL_EMPTY', 'is empty'],
    ['env:HALLPASS_TOOL_LINES', 'more than one line'],
    ['file:../elsewhere/x', 'leads out'],
    ['file:link-out', 'leads out of the secrets folder'],
    ['file:link-data', 'leads out of the secrets folder'],
    ['file:folder-data/hallpass.db', 'leads out of the secrets folder'],
    ['file:own', "Hallpass's own key"],
    ['file:link-own', "Hallpass's own key"],
    ['file:long', 'longer than'],
    ['file:open', 'read by everyone'],
    ['file:none', 'cannot be read (ENOENT)'],
    ['file:sub', 'cannot be read (EISDIR)'],
  ])('%s is refused: %s (S5)', (reference, words) => {
    expect(read(reference)).toContain('refused')
    expect(read(reference)).toContain(words)
    expect(read(reference)).not.toMatch(/never|outside|^db$/)
  })

  test('in a data folder that holds the secrets folder is refused, as is one without a folder (S5)', () => {
    expect(read('file:a', { dataPath: root })).toContain('leads into the data folder')
    expect(read('file:a', { secretsPath: null })).toContain('HALLPASS_SECRETS')
  })
})
