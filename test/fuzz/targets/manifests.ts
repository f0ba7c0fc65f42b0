// The manifest parser, fed folders of files that were changed: YAML, keys and names. What it takes must be a set that all
// that comes after it can read.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { diffSets } from '../../../src/core/authority.ts'
import { compileSlices } from '../../../src/core/compile-slices.ts'
import type { ManifestSet } from '../../../src/core/manifest.ts'
import { UNPRINTABLE } from '../../../src/core/manifest-faults.ts'
import { parseManifests } from '../../../src/core/manifest-parse.ts'
import { mutateBytes, mutateText } from '../mutate.ts'
import type { Random } from '../random.ts'
import { mustHold, type Target } from '../target.ts'

type Files = Map<string, Uint8Array>

const folder = (path: string): Files => {
  const root = fileURLToPath(new URL(`../../../${path}`, import.meta.url))
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => !name.startsWith('.'))
  return new Map(
    names
      .filter((name) => statSync(`${root}/${name}`).isFile() && !name.endsWith('expected.txt'))
      .map((name) => [name, new Uint8Array(readFileSync(`${root}/${name}`))]),
  )
}

const options = { issuerOrigin: 'http://127.0.0.1:8420', secretsFolder: '/secrets', known: null }

function mutated(random: Random, sample: Files, pieces: readonly Uint8Array[]): Files {
  const files = new Map(sample)
  for (let left = 1 + random.below(2); left > 0; left--) {
    const name = random.pick([...files.keys()])
    const bytes = files.get(name) ?? new Uint8Array()
    const kind = random.below(12)
    if (kind === 0) files.delete(name)
    else if (kind === 1) files.set(mutateText(random, name), bytes)
    else if (kind === 2) files.set(name, random.pick(pieces))
    else files.set(name, mutateBytes(random, bytes, pieces))
    if (files.size === 0) return files
  }
  return files
}

function check(set: ManifestSet, proposedOn: ManifestSet): void {
  for (const { name, owners, access, keys } of set.agents.values()) {
    mustHold(owners.length > 0, `agent ${name} has no owner`)
    mustHold(
      keys.every(({ jwk }) => !('d' in jwk)),
      `agent ${name} was read with a private key`,
    )
    for (const { tool, scopes, tokenTtlSeconds } of access) {
      const of = set.tools.get(tool)
      mustHold(scopes.length > 0 && scopes.every((scope) => Object.hasOwn(of?.scopes ?? {}, scope)), `${name}: ${tool}`)
      mustHold(tokenTtlSeconds > 0 && tokenTtlSeconds <= (of?.token.maxTtlSeconds ?? 0), `${name}: tokenTtl`)
    }
  }
  const before = compileSlices(proposedOn)
  const { next, widenings } = diffSets(before, compileSlices(set))
  for (const [id, value] of next)
    mustHold(value === null || value.of === 'team' || (before.get(id) ?? null) !== null, `${id} is in force unaccepted`)
  for (const { needs, slice } of widenings) mustHold(needs.length > 0, `${slice} waits for nobody`)
}

export const manifests: Target = {
  name: 'manifests',
  freshAfter: Number.POSITIVE_INFINITY,
  async open() {
    const sample = folder('scopes')
    const parsed = parseManifests(sample, options)
    if (!parsed.ok) throw new Error('the sample has faults')
    const pieces = [...sample.values(), ...folder('test/manifests').values()]
    return {
      feed(random, note) {
        const files = mutated(random, sample, pieces)
        note([...files].map(([name, bytes]) => [name, Buffer.from(bytes).toString('latin1')]))
        const read = parseManifests(files, options)
        if (read.ok) {
          check(read.set, parsed.set)
          return 'taken'
        }
        mustHold(read.faults.length > 0, 'refused without a fault')
        for (const { file, line, column, message } of read.faults) {
          mustHold(line > 0 && column > 0, 'a fault is nowhere')
          mustHold(!UNPRINTABLE.test(file + message) && !/[\n\r]/.test(message), 'a fault cannot be printed', message)
        }
        return 'refused'
      },
      async close() {},
    }
  },
}
