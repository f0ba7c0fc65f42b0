// One HTTP call to a tool with its credential, as any agent's runtime makes it.

export type Answer = { readonly status: number; readonly body: unknown }

/** GET, or POST where there is a body. */
export async function callTool(url: string, token: string, body?: Record<string, unknown>): Promise<Answer> {
  const response = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      Authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: await response.json() }
}
