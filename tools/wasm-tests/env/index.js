// The host functions that the stock SDK imports. Unit tests reach none of them,
// so each throws when it is called after all.
module.exports = new Proxy({}, {
  get: (_, name) => () => {
    throw new Error(`host function ${String(name)} called in a unit test`);
  },
});
