// Package door is what both servers of Pub/Sub have in front: gRPC on one port, and on another the HTTP/JSON in which
// Google's Rust clients create, read and delete topics and subscriptions. As at Google's, either is taken on the first.
package door

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// maxMessage is above the 10 MB that Pub/Sub takes in one request.
const maxMessage = 32 << 20

// Server is all of the API that is served.
type Server interface {
	pb.PublisherServer
	pb.SubscriberServer
}

// Open serves until the process ends, on the addresses that the command line names.
func Open(server Server) {
	grpcAddress := flag.String("grpc", "127.0.0.1:8085", "address for gRPC")
	restAddress := flag.String("rest", "127.0.0.1:8086", "address for HTTP/JSON")
	flag.Parse()
	forCalls, forOthers := split(listen(*grpcAddress))
	forAdmin := listen(*restAddress)
	calls := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	pb.RegisterPublisherServer(calls, server)
	pb.RegisterSubscriberServer(calls, server)
	for _, listener := range []net.Listener{forAdmin, forOthers} {
		go func() { log.Fatal(http.Serve(listener, admin{server})) }()
	}
	fmt.Println("ready")
	log.Fatal(calls.Serve(forCalls))
}

func listen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

// preface is how connections of gRPC begin, by a part that no other request has.
const preface = "PRI *"

// split parts connections of gRPC from those of HTTP/1.
func split(listener net.Listener) (calls, others net.Listener) {
	c, o := branch{listener, make(chan net.Conn)}, branch{listener, make(chan net.Conn)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go func() {
				begun := begun{conn, bufio.NewReader(conn)}
				switch start, err := begun.reader.Peek(len(preface)); {
				case err != nil:
					conn.Close()
				case string(start) == preface:
					c.conns <- begun
				default:
					o.conns <- begun
				}
			}()
		}
	}()
	return c, o
}

// branch is some of the connections of a listener.
type branch struct {
	net.Listener
	conns chan net.Conn
}

func (b branch) Accept() (net.Conn, error) { return <-b.conns, nil }

// begun is a connection of which the start was looked at.
type begun struct {
	net.Conn
	reader *bufio.Reader
}

func (b begun) Read(into []byte) (int, error) { return b.reader.Read(into) }

// admin answers the administrators' calls: PUT, GET and DELETE of a topic or a subscription, :seek, and :pull.
type admin struct{ server Server }

func (a admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := a.call(r)
	w.Header().Set("content-type", "application/json")
	if err != nil {
		refuse(w, status.Convert(err))
		return
	}
	body, err := protojson.Marshal(answer)
	if err != nil {
		refuse(w, status.Convert(err))
		return
	}
	w.Write(body)
}

func (a admin) call(r *http.Request) (proto.Message, error) {
	ctx := r.Context()
	name, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), ":")
	isTopic := strings.Contains(name, "/topics/")
	switch {
	case verb == "seek":
		return with(ctx, r, a.server.Seek, func(m *pb.SeekRequest) { m.Subscription = name })
	case verb == "pull":
		return with(ctx, r, a.server.Pull, func(m *pb.PullRequest) { m.Subscription = name })
	case verb != "":
	case r.Method == http.MethodPut && isTopic:
		return with(ctx, r, a.server.CreateTopic, func(m *pb.Topic) { m.Name = name })
	case r.Method == http.MethodPut:
		return with(ctx, r, a.server.CreateSubscription, func(m *pb.Subscription) { m.Name = name })
	case r.Method == http.MethodGet && isTopic:
		return a.server.GetTopic(ctx, &pb.GetTopicRequest{Topic: name})
	case r.Method == http.MethodGet:
		return a.server.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: name})
	case r.Method == http.MethodDelete && isTopic:
		return a.server.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: name})
	case r.Method == http.MethodDelete:
		return a.server.DeleteSubscription(ctx, &pb.DeleteSubscriptionRequest{Subscription: name})
	}
	return nil, status.Errorf(codes.Unimplemented, "%s %s", r.Method, r.URL.Path)
}

// with makes a call whose request is the body, once `complete` has taken over what the path says.
func with[In any, Out proto.Message, Message interface {
	*In
	proto.Message
}](ctx context.Context, r *http.Request, call func(context.Context, Message) (Out, error), complete func(Message)) (proto.Message, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	request := Message(new(In))
	if len(body) > 0 {
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, request); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	complete(request)
	return call(ctx, request)
}

// names are codes as Google's JSON has them.
var names = map[codes.Code]string{
	codes.NotFound:           "NOT_FOUND",
	codes.AlreadyExists:      "ALREADY_EXISTS",
	codes.Unimplemented:      "UNIMPLEMENTED",
	codes.InvalidArgument:    "INVALID_ARGUMENT",
	codes.FailedPrecondition: "FAILED_PRECONDITION",
}

func refuse(w http.ResponseWriter, why *status.Status) {
	code := map[codes.Code]int{
		codes.NotFound:      http.StatusNotFound,
		codes.AlreadyExists: http.StatusConflict,
		codes.Unimplemented: http.StatusNotImplemented,
	}[why.Code()]
	if code == 0 {
		code = http.StatusBadRequest
	}
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]any{
		"error": map[string]any{"code": code, "message": why.Message(), "status": names[why.Code()]},
	})
}
