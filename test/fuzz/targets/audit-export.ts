// An export of a real trail, changed: nothing that says something else verifies. Texts may be missing (erased), and the
// last newline.

import { exportAudit } from '../../../src/actions/read-audit.ts'
import { parseVerifierKey } from '../../../src/core/checkpoint.ts'
import { exportLines, verifyExport } from '../../../src/core/verify-export.ts'
import { as } from '../../support/harness.ts'
import { unwrap } from '../../support/store-on-disk.ts'
import { mutateBytes, mutateJson } from '../mutate.ts'
import type { Random } from '../random.ts'
import { mustHold, type Target } from '../target.ts'
import { openWholeBroker } from '../whole-broker.ts'

/** What an export says of the log: every record and the signed head, without the texts beside. */
const saidBy = (text: string): string =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { index, record, checkpoint } = JSON.parse(line)
      return JSON.stringify([index, record, checkpoint])
    })
    .join('\n')

const openedBy = (text: string): string[] =>
  text
    .split('\n')
    .flatMap((line) =>
      line === '' ? [] : Object.entries(JSON.parse(line).opened ?? {}).map((pair) => JSON.stringify(pair)),
    )

function changed(random: Random, whole: string): Uint8Array {
  if (random.oneIn(2)) return mutateBytes(random, Buffer.from(whole), [Buffer.from(whole)])
  const lines = whole.trimEnd().split('\n')
  const at = random.below(lines.length)
  const kind = random.below(5)
  if (kind === 0) lines.splice(at, 1)
  else if (kind === 1) lines.splice(at, 0, lines[random.below(lines.length)]!)
  else if (kind === 2) [lines[at], lines[0]] = [lines[0]!, lines[at]!]
  else lines[at] = JSON.stringify(mutateJson(random, JSON.parse(lines[at]!)))
  return Buffer.from(`${lines.join('\n')}\n`)
}

export const auditExport: Target = {
  name: 'audit-export',
  freshAfter: Number.POSITIVE_INFINITY,
  async open() {
    const broker = await openWholeBroker()
    let whole = ''
    for await (const chunk of unwrap(await exportAudit(broker.deps, as.admin))) whole += chunk
    const key = parseVerifierKey(broker.deps.signer.auditVerifierKey())
    await broker.close()
    if (!key.ok) throw new Error(key.error)
    const said = saidBy(whole)
    const texts = new Set(openedBy(whole))
    mustHold((await verifyExport(exportLines([Buffer.from(whole)]), key.value)).ok, 'the whole export does not verify')
    return {
      async feed(random, note) {
        const bytes = changed(random, whole)
        note(Buffer.from(bytes).toString('latin1'))
        const cut = random.below(bytes.length + 1)
        const read = await verifyExport(exportLines([bytes.subarray(0, cut), bytes.subarray(cut)]), key.value)
        if (!read.ok) return 'refused'
        const text = Buffer.from(bytes).toString('utf8')
        mustHold(saidBy(text) === said, 'another log verified')
        mustHold(
          openedBy(text).every((pair) => texts.has(pair)),
          'a text verified that was not there',
        )
        return text === whole ? 'verified the same' : 'verified with a text or newline less'
      },
      async close() {},
    }
  },
}
