FROM scratch
COPY enclii-webhook /enclii-webhook
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/enclii-webhook"]
