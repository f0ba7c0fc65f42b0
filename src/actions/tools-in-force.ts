// Every tool that is in force now, as its manifest says it. Tools are few: they are the installation's own connections.

import { keyOf } from '../core/model.ts'
import { sliceId, type ToolValue } from '../core/slice.ts'
import type { Deps, Page } from './ports.ts'

const PAGE = 200

/** By name. */
export async function toolsInForce({ store }: Pick<Deps, 'store'>): Promise<ReadonlyMap<string, ToolValue>> {
  const tools = new Map<string, ToolValue>()
  for (let after: string | null = null; ; ) {
    const page: Page<'tool'> = await store.list({ kind: 'tool', limit: PAGE, ...(after === null ? {} : { after }) })
    const slices = await store.read(page.rows.map(({ id }) => keyOf('slice', sliceId.tool(id))))
    for (const { id } of page.rows) {
      const value = slices.get('slice', sliceId.tool(id))?.value
      if (value?.of === 'tool') tools.set(id, value)
    }
    if (page.next === null) return tools
    after = page.next
  }
}
