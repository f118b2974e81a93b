// Preloaded into servers that would listen on every address: whatever port they ask for, they get it on loopback.
const { Server } = require("node:net");

const listen = Server.prototype.listen;

Server.prototype.listen = function (first, ...rest) {
  if (first !== null && typeof first === "object" && "port" in first) {
    return listen.call(this, { ...first, host: "127.0.0.1" }, ...rest);
  }
  if (typeof first === "number" || /^\d+$/.test(first)) {
    const callback = rest.find((argument) => typeof argument === "function");
    return listen.call(this, { port: Number(first), host: "127.0.0.1" }, callback);
  }
  return listen.call(this, first, ...rest);
};
