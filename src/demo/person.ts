// Somebody at the API with a token of theirs: an owner, an admin. The token goes into the Authorization header and nowhere else.

type Reply = { readonly status: number; readonly body: unknown }

export type Person = {
  readonly name: string
  get(path: string): Promise<Reply>
  post(path: string, body?: Record<string, unknown>): Promise<Reply>
  /** The answer's bytes as they are. */
  download(path: string): Promise<Uint8Array>
}

export function createPerson(options: { readonly name: string; readonly url: string; readonly token: string }): Person {
  const send = (method: 'GET' | 'POST', path: string, body?: Record<string, unknown>) =>
    fetch(`${options.url}/v1${path}`, {
      method,
      headers: {
        Authorization: `Bearer ${options.token}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  const reply = async (response: Response): Promise<Reply> => ({
    status: response.status,
    body: await response.json(),
  })
  return {
    name: options.name,
    get: async (path) => reply(await send('GET', path)),
    post: async (path, body = {}) => reply(await send('POST', path, body)),
    download: async (path) => new Uint8Array(await (await send('GET', path)).arrayBuffer()),
  }
}
