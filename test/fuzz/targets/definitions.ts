// What an upstream MCP server says of its tools, changed: whatever is taken of it can be stored, shown and judged whole by a
// person, holds nothing that cannot be seen, and reads the same the next time.

import { DEFINITION } from '../../../src/core/limits.ts'
import {
  argumentsOf,
  definitionDiff,
  definitionDigest,
  definitionText,
  readDefinition,
  type ToolDefinition,
} from '../../../src/core/mcp-definition.ts'
import { mutateJson, mutateText } from '../mutate.ts'
import type { Random } from '../random.ts'
import { mustHold, type Target } from '../target.ts'

const text = { type: 'string', description: 'A text' }
const SAMPLES: readonly object[] = [
  {
    name: 'search',
    description: 'Looks for tickets.\nTabs\tstay.',
    inputSchema: { type: 'object', properties: { queue: text } },
  },
  {
    name: 'search',
    title: 'Search',
    inputSchema: {
      type: 'object',
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      properties: {
        queue: { enum: ['a', 'b', 3, null, true], default: 'a' },
        nested: { type: 'object', properties: { a: text } },
      },
      required: ['queue'],
      $defs: { one: { $ref: '#/$defs/two' }, two: { type: 'array', items: [text, { anyOf: [{}, { not: {} }] }] } },
      additionalProperties: false,
    },
    outputSchema: { type: 'object', properties: { sum: { type: 'number', minimum: -1.5e3 } } },
    annotations: { title: 'S', readOnlyHint: true, openWorldHint: false },
    icons: [{ src: 'https://example.com/a.png' }],
    _meta: { a: 1 },
  },
]
const HIDDEN = [
  '\u200b',
  '\u202e',
  '\u{e0041}',
  '\ufe0f',
  '\u3164',
  '\u0007',
  '\u{1d173}',
  '\u00ad',
  '\u2028',
  'a\u0300\u0301\u0302\u0303\u0304',
]
const UNSEEN = /[\p{Cf}\p{Co}\p{Cn}\p{Variation_Selector}\u2028\u2029\u115f\u1160\u3164\uffa0]|(?![\n\t])\p{Cc}/u
const REFERENCE = /^\$(ref|dynamicRef|recursiveRef)$/

function changed(random: Random): unknown {
  const sample = random.pick(SAMPLES)
  let json = JSON.stringify(random.oneIn(4) ? sample : mutateJson(random, sample))
  if (random.oneIn(3)) {
    const at = random.below(json.length)
    json = json.slice(0, at) + random.pick(HIDDEN) + json.slice(at)
  }
  if (random.oneIn(4)) json = mutateText(random, json)
  if (random.oneIn(20)) json = json.replace('"object"', `"object","x":${'['.repeat(30)}${']'.repeat(30)}`)
  try {
    return JSON.parse(json)
  } catch {
    return json
  }
}

/** Every name and text in it. */
function* wordsOf(value: unknown, key = ''): Generator<readonly [key: string, word: string]> {
  if (typeof value === 'string') yield [key, value]
  else if (typeof value === 'object' && value !== null)
    for (const [name, item] of Object.entries(value)) {
      if (!Array.isArray(value)) yield ['', name]
      yield* wordsOf(item, name)
    }
}

/** Pieces of one line belong together, after the place of the line where that is short. */
const joined = (lines: readonly string[]) =>
  lines
    .map((line) => line.slice(2))
    .join('\n')
    .replaceAll(/\n[^\n]{0,65}?… /g, '')

function check(definition: ToolDefinition): void {
  const stored = definitionText(definition)
  mustHold(Buffer.byteLength(stored) <= DEFINITION.bytes, 'it is longer than it may be')
  const again = readDefinition('search', JSON.parse(stored))
  mustHold(
    again.ok && definitionDigest(again.value) === definitionDigest(definition),
    'it reads otherwise again',
    stored,
  )
  mustHold(definitionDiff(definition, JSON.parse(stored)).length === 0, 'it differs from itself', stored)
  const shown = definitionDiff(null, definition)
  for (const line of shown) {
    mustHold(line.startsWith('+ ') && line.length < 240, 'a line cannot be shown', line)
    mustHold(!UNSEEN.test(line) && !line.includes('\n'), 'a line holds what cannot be seen', line)
  }
  const whole = joined(shown)
  for (const [key, word] of wordsOf(definition)) {
    mustHold(!UNSEEN.test(word), 'it holds what cannot be seen', word)
    if (REFERENCE.test(key)) mustHold(word.startsWith('#'), 'it leads elsewhere', word)
    for (const line of word.split('\n'))
      mustHold(whole.includes(line) || whole.includes(JSON.stringify(line).slice(1, -1)), 'a person is not shown', line)
  }
  for (const name of argumentsOf(definition))
    mustHold(!/[\n\t]/.test(name) && name !== '__proto__', 'an argument', name)
}

export const definitions: Target = {
  name: 'definitions',
  freshAfter: Number.POSITIVE_INFINITY,
  async open() {
    return {
      feed(random, note) {
        const raw = changed(random)
        note(raw)
        const read = readDefinition('search', raw)
        if (!read.ok) {
          mustHold(
            read.error !== '' && !UNSEEN.test(read.error) && read.error.length < 200,
            'a fault cannot be printed',
            read.error,
          )
          return 'refused'
        }
        check(read.value)
        return 'taken'
      },
      async close() {},
    }
  },
}
