// Classes with virtual functions.
#pragma once

namespace corpus {

class Shape {
public:
    virtual long area() const = 0;
    virtual long corners() const { return 0; }

protected:
    ~Shape() = default;
};

class Square final : public Shape {
public:
    explicit Square(long side) : side_(side) {}
    long area() const override;
    long corners() const override;

private:
    long side_;
};

class Named {
public:
    virtual long name() const;

protected:
    ~Named() = default;
    long tag_ = 1;
};

class Valued {
public:
    virtual long value(long more);
    virtual long longer(long more);

protected:
    ~Valued() = default;
    long held_ = 5;
};

// The second base's functions are reached through thunks.
class Both final : public Named, public Valued {
public:
    long name() const override;
    long value(long more) override;
    long longer(long more) override;
};

// Objects that live for ever.
const Shape& some_shape();
Valued& some_valued();

}  // namespace corpus
