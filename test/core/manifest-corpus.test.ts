// Every folder under test/manifests is one broken set, with the exact lines that `scopes check` prints for it.

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { readManifestFolder } from '../../src/adapters/manifests/read-folder.ts'
import { faultLine, parseManifests } from '../../src/core/manifest-parse.ts'

const corpus = fileURLToPath(new URL('../manifests', import.meta.url))
const cases = readdirSync(corpus).sort()

/** What the command prints: the folder's own fault, or the set's. */
const check = async (folder: string): Promise<string> => {
  const read = await readManifestFolder(folder)
  if (!read.ok) return read.message.replace(`${folder} `, '')
  const options = { issuerOrigin: 'http://127.0.0.1:8420', secretsFolder: '/srv/hallpass/secrets', known: null }
  const parsed = parseManifests(read.files, options)
  return parsed.ok ? 'no fault' : parsed.faults.map(faultLine).join('\n')
}

test('the corpus of broken manifests is whole', () => {
  expect(cases.length).toBeGreaterThanOrEqual(100)
})

describe('a broken manifest set says where and what to do (P8)', () => {
  test.each(cases)('%s', async (name) => {
    const expected = readFileSync(`${corpus}/${name}/expected.txt`, 'utf8').trimEnd()
    expect(expected).not.toBe('no fault')
    expect(await check(`${corpus}/${name}`)).toBe(expected)
  })
})
